package registrar

import (
	"strconv"
	"strings"

	"parley/internal/contract/binding"
	"parley/internal/diag"
	"parley/internal/sip"
	"parley/internal/sip/sigauth"
)

// lyncClient reports whether a REGISTER comes from a Lync-protocol client,
// which asks for the notices that come with registration ([MS-SIPREGE] 3.1.2).
func lyncClient(m *sip.Message) bool {
	return is(m.Header(sip.HEvent), "registration") || m.HeaderNamed("ms-keep-alive") != nil
}

// readLync completes what was read of a REGISTER of a Lync-protocol client and
// checks what only it sends ([MS-SIPREGE] 3.1.2.5.1, [MS-SIPRE] 3.5).
func (s *scratch) readLync(m *sip.Message, host string) *sip.Error {
	switch {
	case m.HasToken(sip.HSupported, "msrtc-event-categories") && !m.HasToken(sip.HSupported, "gruu-10"):
		return diag.GRUURequired.On(host, &sip.Error{Code: 421, Headers: []sip.Header{{Name: "Require", Value: "gruu-10"}}})
	case m.Has(sip.HEvent) && !is(m.Header(sip.HEvent), "registration"):
		return diag.RegisterEvent.Error(host, "Event is not registration")
	}
	epid := sigauth.EPID(m)
	s.req.EPID, s.req.Notices = []byte(epid), m.Has(sip.HEvent)
	for i := range s.req.Contacts {
		c := &s.req.Contacts[i]
		if epid == "" || c.Star {
			continue
		}
		instance := binding.InstanceOf(epid)
		if len(c.Instance) > 0 && !strings.EqualFold(string(c.Instance), instance) {
			return &sip.Error{Code: 400, Diagnostic: "epid and +sip.instance are of two devices"}
		}
		c.Instance = []byte(instance)
	}
	return nil
}

// lyncKeepAlive asks a client to send CRLF CRLF after so many seconds of
// silence, and promises nothing in return.
const lyncKeepAlive = "UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300"

// lyncAnswer is what the 200 says to a Lync-protocol client beside the
// contacts. It takes each feature for its whole field: to it a list in one
// field is none of them, and a blank ends the list of events.
func (r *Registrar) lyncAnswer(h []sip.Header, req *Request, set []*binding.Binding, now binding.Time) []sip.Header {
	expires, action := int64(0), "refreshed"
	for _, b := range set {
		if b.Flow == req.Flow && b.CSeq == req.CSeq && b.CallID == string(req.CallID) {
			expires = int64(b.Expires-now+999) / 1000
			if b.Created == now {
				action = "added" // makes it begin with its subscriptions
			}
		}
	}
	if expires > 0 {
		h = append(h, sip.Header{Name: "Expires", Value: strconv.FormatInt(expires, 10)},
			sip.Header{Name: "presence-state", Value: `register-action="` + action + `"`})
	}
	h = append(h,
		sip.Header{Name: "ms-keep-alive", Value: lyncKeepAlive},
		sip.Header{Name: "Supported", Value: "msrtc-event-categories"},
		sip.Header{Name: "Supported", Value: "adhoclist"},
		sip.Header{Name: "Server", Value: "RTC/5.0"})
	if r.host.Events == nil {
		return h
	}
	if events := r.host.Events(); events != "" {
		h = append(h, sip.Header{Name: "Allow-Events", Value: strings.ReplaceAll(events, " ", "")})
	}
	return h
}
