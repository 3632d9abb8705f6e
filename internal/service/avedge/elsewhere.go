package avedge

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strconv"

	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/mras"
)

// A Front End without a relay asks an Edge of its pool: a SERVICE request over mutual TLS to 5062 of the Edge's inner side,
// in the name of the user, whom it has authenticated.

// edges are the members of the Edge pool that serves this one.
func (s *Service) edges() []string {
	topo := s.host.Topology()
	p, ok := topo.RelayPool(topology.FQDN(s.host.Node.Pool))
	if !ok || p.Kind != topology.Edge {
		return nil
	}
	var out []string
	for _, m := range p.Servers {
		out = append(out, string(m.FQDN))
	}
	return out
}

// elsewhere has an Edge answer. It reports false when there is none.
func (s *Service) elsewhere(tx *stack.ServerTxn, req *mras.Request) bool {
	edges := s.edges()
	if len(edges) == 0 {
		return false
	}
	tx.Retain()
	s.ask(edges, req, func(r *mras.Response, reason mras.Reason) {
		if reason == mras.OK {
			s.answer(tx, req, mras.OK, r.Given)
			return
		}
		s.answer(tx, req, reason, nil)
	})
	return true
}

// fetch asks for credentials of a user, and waits.
func (s *Service) fetch(ctx context.Context, aor uc.AOR) (g mras.Given, _ mras.Reason) {
	edges := s.edges()
	if len(edges) == 0 {
		return g, mras.NotSupported
	}
	type result struct {
		r      *mras.Response
		reason mras.Reason
	}
	done := make(chan result, 1)
	req := &mras.Request{ID: "1", To: "sip:" + Name + "@" + edges[0], From: aor.URI(), Version: "1.0",
		Asks: []mras.Ask{{ID: "1", Identity: aor.URI(), Location: mras.Internet}}}
	s.ask(edges, req, func(r *mras.Response, reason mras.Reason) { done <- result{r, reason} })
	select {
	case x := <-done:
		if x.reason == mras.OK && len(x.r.Given) > 0 {
			return x.r.Given[0], mras.OK
		}
		return g, x.reason
	case <-ctx.Done():
		return g, mras.TimeOut
	}
}

// ask asks the Edges one after the other until one answers. then is called once.
func (s *Service) ask(edges []string, req *mras.Request, then func(*mras.Response, mras.Reason)) {
	edge := edges[0]
	uri := "sip:" + Name + "@" + edge + ":" + strconv.Itoa(int(portAsk.Number)) + ";transport=tls"
	body := req.Append(nil)
	var b bytes.Buffer
	b.WriteString("SERVICE " + uri + " SIP/2.0\r\nMax-Forwards: 10\r\nFrom: <sip:" + s.host.Node.FQDN + ">;tag=" + rand.Text()[:12] +
		"\r\nTo: <sip:" + Name + "@" + edge + ">\r\nCall-ID: " + rand.Text() + "\r\nCSeq: 1 SERVICE\r\nContent-Type: " + mras.MediaType +
		"\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	b.Write(body)
	s.host.SIP.Request(b.Bytes(), stack.Destination{URI: []byte(uri)}, func(_ *stack.ClientTxn, m *sip.Message, err error) {
		if m != nil && m.StatusCode() < 200 {
			return
		}
		if err != nil || m.StatusCode() == 503 {
			if len(edges) > 1 {
				s.ask(edges[1:], req, then)
				return
			}
			s.host.Log.Warn("Edge gives no credentials for the relay", "edge", edge, "err", err)
			if errors.Is(err, stack.ErrTimeout) || err == nil {
				then(nil, mras.TimeOut)
			} else {
				then(nil, mras.ServerBusy)
			}
			return
		}
		r, perr := mras.ParseResponse(m.Body())
		switch {
		case perr == nil && m.StatusCode() == 200 && r.Reason == mras.OK:
			then(r, mras.OK)
		default:
			s.host.Log.Warn("Edge refuses credentials for the relay", "edge", edge, "code", m.StatusCode(), "err", perr)
			then(nil, mras.OtherFailure)
		}
	})
}
