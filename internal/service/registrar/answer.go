package registrar

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/sip"
	"parley/internal/stack"
)

// answer sends the 200: all bindings with what is left of them, and what the
// extensions in use add.
func (r *Registrar) answer(tx *stack.ServerTxn, m *sip.Message, req *Request, set []*binding.Binding, now binding.Time) error {
	s := r.settings.get()
	var fields [12]sip.Header
	h := append(fields[:0], sip.Header{Name: "Date", Value: r.date.at(now)})
	lync := lyncClient(m)
	if len(set) > 0 {
		h = append(h, sip.Header{Name: "Contact", Value: r.contacts(set, now, m.HasToken(sip.HSupported, "gruu"), lync)})
	}
	if req.Outbound && uses(set, req) {
		h = append(h, sip.Header{Name: "Require", Value: "outbound"}) // RFC 5626 section 6
		if s.flowTimer != "" {
			h = append(h, sip.Header{Name: "Flow-Timer", Value: s.flowTimer})
		}
	}
	if len(req.Path) > 0 {
		h = append(h, sip.Header{Name: "Path", Value: string(req.Path)})
	}
	if s.serviceRoute != "" {
		h = append(h, sip.Header{Name: "Service-Route", Value: s.serviceRoute})
	}
	if lync {
		h = r.lyncAnswer(h, req, set, now)
	} else {
		h = append(h, sip.Header{Name: "Supported", Value: "path, outbound, gruu"})
	}
	return tx.Respond(200, "", h...)
}

// uses reports whether this REGISTER made or renewed an outbound flow.
func uses(set []*binding.Binding, req *Request) bool {
	for _, b := range set {
		if b.RegID > 0 && b.Flow == req.Flow && b.CSeq == req.CSeq {
			return true
		}
	}
	return false
}

// contacts lists all bindings (RFC 3261 10.3 step 8).
func (r *Registrar) contacts(set []*binding.Binding, now binding.Time, gruu, lync bool) string {
	var buf [1024]byte
	out := buf[:0]
	for i, b := range set {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(append(append(out, '<'), b.Contact...), '>')
		out = append(out, ";expires="...)
		out = strconv.AppendInt(out, int64(b.Expires-now+999)/1000, 10)
		if b.Q != 1000 {
			out = appendQ(append(out, ";q="...), b.Q)
		}
		out = append(out, b.Params...)
		if gruu && b.Instance != "" {
			out = append(out, `;pub-gruu="`...)
			out = binding.AppendPublic(out, b.AOR, b.Instance)
			out = append(out, `";temp-gruu="`...)
			out = append(r.gruu.AppendTemp(out, b), '"')
		}
		if lync {
			before := len(out)
			var ok bool
			if out, ok = binding.AppendEndpoint(append(out, `;gruu="`...), b.AOR, b.Instance); ok {
				out = append(out, '"')
			} else {
				out = out[:before]
			}
		}
	}
	return string(out)
}

// appendQ writes thousandths as a qvalue.
func appendQ(dst []byte, q uint16) []byte {
	dst = append(dst, '0'+byte(q/1000), '.', '0'+byte(q/100%10), '0'+byte(q/10%10), '0'+byte(q%10))
	for dst[len(dst)-1] == '0' && dst[len(dst)-2] != '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// httpDate is the text of the current second (RFC 3261 20.17), made once a
// second.
type httpDate struct {
	last atomic.Pointer[dateText]
}

type dateText struct {
	second int64
	text   string
}

func (d *httpDate) at(now binding.Time) string {
	second := int64(now) / 1000
	if t := d.last.Load(); t != nil && t.second == second {
		return t.text
	}
	t := &dateText{second, time.Unix(second, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	d.last.Store(t)
	return t.text
}

// settingsValue is the settings as the answer needs them.
type settingsValue struct {
	v atomic.Pointer[answerSettings]
}

type answerSettings struct {
	flowTimer    string
	serviceRoute string
}

func (v *settingsValue) get() *answerSettings { return v.v.Load() }

func (v *settingsValue) set(s *Settings) error {
	a := new(answerSettings)
	switch {
	case s.FlowTimer < 0 || s.FlowTimer > 3600:
		return fmt.Errorf("registrar: flow-timer = %d: want 0 to 3600 seconds", s.FlowTimer)
	case s.FlowTimer > 0:
		a.flowTimer = strconv.Itoa(s.FlowTimer)
	}
	var routes []string
	for _, text := range s.ServiceRoute {
		var u sip.URI
		if err := sip.ParseURI([]byte(text), &u); err != nil || u.Kind != sip.SIPURI {
			return fmt.Errorf("registrar: service-route %q is not a SIP URI such as sip:server.example.test;lr", text)
		}
		routes = append(routes, "<"+text+">")
	}
	a.serviceRoute = strings.Join(routes, ", ")
	v.v.Store(a)
	return nil
}
