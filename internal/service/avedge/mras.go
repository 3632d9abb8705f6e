package avedge

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/mras"
)

// reasons are the answers there are, with the SIP code that goes with each.
var reasons = [...]struct {
	reason mras.Reason
	code   int
	text   string // label of the metric
}{
	{mras.OK, 200, "ok"},
	{mras.Malformed, 400, "malformed"},
	{mras.TooLarge, 413, "too large"},
	{mras.NotSupported, 501, "no relay"},
	{mras.ServerBusy, 503, "busy"},
	{mras.TimeOut, 504, "time out"},
	{mras.Forbidden, 403, "forbidden"},
	{mras.InternalError, 500, "internal error"},
	{mras.OtherFailure, 500, "other failure"},
	{mras.VersionMismatch, 505, "version"},
}

// ServeSIP answers a request for credentials.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	m := tx.Request()
	if m.Method() != sip.SERVICE {
		tx.Fail(&sip.Error{Code: 405, Headers: []sip.Header{{Name: "Allow", Value: "SERVICE"}}})
		return
	}
	if t, ok := m.ContentType(); !ok || !t.Is(mras.MediaType) {
		tx.Fail(&sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: mras.MediaType}}})
		return
	}
	req, reason := s.read(tx)
	if reason == mras.OK && len(s.secret) == 0 {
		if s.elsewhere(tx, req) {
			return
		}
		reason = mras.NotSupported
	}
	s.answer(tx, req, reason, nil)
}

// read reads a request and judges who asks for whom.
func (s *Service) read(tx *stack.ServerTxn) (*mras.Request, mras.Reason) {
	body := tx.Request().Body()
	if len(body) > mras.MaxRequest {
		return nil, mras.TooLarge
	}
	req, err := mras.ParseRequest(body)
	switch {
	case errors.Is(err, mras.ErrVersion):
		return req, mras.VersionMismatch
	case err != nil:
		return nil, mras.Malformed
	}
	id := tx.Identity()
	for _, a := range req.Asks {
		aor, err := uc.ParseAOR(strings.TrimPrefix(strings.ToLower(a.Identity), "sip:"))
		switch {
		case err != nil:
			return req, mras.Malformed
		case id.Class.Server(): // it has looked
		case id.AOR == "" || id.AOR != aor:
			return req, mras.Forbidden
		}
	}
	return req, mras.OK
}

// answer answers with credentials, or with why there are none.
func (s *Service) answer(tx *stack.ServerTxn, req *mras.Request, reason mras.Reason, given []mras.Given) {
	if reason == mras.OK && given == nil {
		for _, a := range req.Asks {
			given = append(given, s.give(a))
		}
	}
	for i, r := range reasons {
		if r.reason == reason {
			s.answers[i].Add(1)
			doc := mras.Response{Request: req, Reason: reason, Given: given}
			_ = tx.RespondBody(r.code, string(reason), mras.MediaType, doc.Append(nil)) // the client may have gone
			return
		}
	}
}

// give makes credentials of the relay here.
func (s *Service) give(a mras.Ask) mras.Given {
	life := s.life(a.Duration)
	identity := strings.TrimPrefix(strings.ToLower(a.Identity), "sip:")
	c := s.secret.IssueOpaque(identity, s.host.Now().Add(life))
	return mras.Given{ID: a.ID, Username: c.Username, Password: c.Password, Duration: life, Relays: s.relays(a.Location)}
}

// life is how long credentials are good when a client wants them for d.
func (s *Service) life(d time.Duration) time.Duration {
	most := time.Duration(s.settings.Hours) * time.Hour
	if d <= 0 || d > most {
		return most
	}
	return d
}

// relays are where clients reach the relay of this node, or those of its pool when all take the same credentials.
func (s *Service) relays(at mras.Location) []mras.Relay {
	var out []mras.Relay
	for _, host := range s.names(at) {
		out = append(out, mras.Relay{Location: at, Host: host, UDP: s.udp, TCP: s.tcp})
	}
	return out
}

// names are names or addresses of the relay for clients on one side. A name is told when the topology has one for it:
// whether it leads here is then the administrator's affair. Otherwise addresses are told, which need no look-up.
func (s *Service) names(at mras.Location) []string {
	_, m, ok := s.machine()
	r := s.relay.Load()
	if !ok || r == nil {
		return nil
	}
	e := m.Pool.EdgeSettings
	edge := m.Has(topology.RoleEdge)
	if e.AV.FQDN != "" && !(edge && at == mras.Intranet) && (!edge || len(m.Pool.Servers) == 1 || s.settings.Secret.Reveal() != "") {
		return []string{string(e.AV.FQDN)}
	}
	if edge && at == mras.Intranet && len(m.Addresses) > 0 {
		return []string{m.Addresses[0].String()}
	}
	var out []string
	for _, a := range []netip.Addr{r.v4.shown, r.v6.shown} {
		if a.IsValid() && !a.IsUnspecified() {
			out = append(out, a.String())
		}
	}
	if len(out) == 0 {
		out = append(out, s.host.Node.FQDN)
	}
	return out
}
