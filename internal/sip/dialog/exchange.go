package dialog

import "parley/internal/sip"

// Receive takes a request the peer sent within the dialog (RFC 3261 section 12.2.2): it checks the sequence
// number and, for requests that refresh the target, takes over the new Contact. The error is the answer: 481 for
// a dialog that has ended, 500 for a request that is older than one already seen.
//
// ACK and CANCEL carry the number of the INVITE they belong to and change nothing.
func (d *Dialog) Receive(req *sip.Message) error {
	if d.State == Terminated {
		return &sip.Error{Code: 481, Diagnostic: "the dialog has ended"}
	}
	method := req.Method()
	if method == sip.ACK || method == sip.CANCEL {
		return nil
	}
	seq, _ := req.CSeq()
	if d.heard && seq < d.RemoteSeq {
		return sip.Errorf(500, "CSeq %d after %d", seq, d.RemoteSeq)
	}
	if refreshes(method) && req.Has(sip.HContact) {
		target, err := contact(req)
		if err != nil {
			return err
		}
		d.RemoteTarget = target
	}
	d.RemoteSeq, d.heard = seq, true
	if method == sip.BYE {
		d.State = Terminated
	}
	return nil
}

// Response takes a response to a request that we sent within the dialog, or a further response to the INVITE
// that made it. A 2xx refreshes the target and confirms the dialog; the first 2xx also gives the final route
// set (section 13.2.2.4). 408 and 481 end the dialog (section 12.2.1.2), as does an answer to our BYE and a
// refusal while it is early.
func (d *Dialog) Response(resp *sip.Message) error {
	_, method := resp.CSeq()
	code := resp.StatusCode()
	switch {
	case d.State == Terminated || code <= 100:
		return nil
	case code < 300:
		if d.Caller && d.State == Early && method == sip.INVITE {
			d.RouteSet = routes(resp, true)
		}
		// A provisional response to a re-INVITE does not refresh the target.
		if refreshes(method) && resp.Has(sip.HContact) && (code >= 200 || d.State == Early) {
			target, err := contact(resp)
			if err != nil {
				return err
			}
			d.RemoteTarget = target
		}
		if code >= 200 {
			if method == sip.INVITE || method == sip.SUBSCRIBE || method == sip.REFER {
				d.Confirm()
			}
			if method == sip.INVITE || method == sip.UPDATE {
				d.Session = sessionOf(resp)
			}
		}
		if method == sip.BYE && code >= 200 {
			d.State = Terminated
		}
	case method == sip.BYE, code == 408, code == 481, d.State == Early && method == sip.INVITE:
		d.State = Terminated
	}
	return nil
}

// refreshes reports whether a method is a target refresh: INVITE (section 12.2), UPDATE (RFC 3311), SUBSCRIBE and
// NOTIFY (RFC 6665 section 4.4), REFER (RFC 3515).
func refreshes(m sip.Method) bool {
	switch m {
	case sip.INVITE, sip.UPDATE, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER:
		return true
	}
	return false
}

// Request writes the head of the dialog's next request into b: request line, Route, From, To, Call-ID, CSeq and
// Max-Forwards (section 12.2.1.1). The caller adds the rest, Contact included where the method wants it, and
// the transaction layer the Via. Each call takes a new sequence number.
func (d *Dialog) Request(b *sip.Builder, method string) *sip.Builder {
	d.LocalSeq++
	return d.head(b, method, d.LocalSeq)
}

// Ack writes the head of the ACK for a 2xx to the INVITE with this sequence number (section 13.2.2.4).
func (d *Dialog) Ack(b *sip.Builder, seq uint32) *sip.Builder {
	return d.head(b, "ACK", seq)
}

func (d *Dialog) head(b *sip.Builder, method string, seq uint32) *sip.Builder {
	target, set := d.RemoteTarget, d.RouteSet
	if strict := strictRoute(set); strict != "" {
		// The first hop is an RFC 2543 strict router: it wants to see itself in the request URI, and the
		// target at the end of the routes.
		set = append(append([]string(nil), set[1:]...), "<"+target+">")
		target = strict
	}
	b.Request(method, target)
	for _, r := range set {
		b.Header("Route", r)
	}
	b.Header("Max-Forwards", "70")
	b.Header("From", d.LocalURI+";tag="+d.ID.Local)
	to := d.RemoteURI
	if d.ID.Remote != "" {
		to += ";tag=" + d.ID.Remote
	}
	if d.RemoteEpid != "" {
		to += ";epid=" + d.RemoteEpid
	}
	b.Header("To", to)
	b.Header("Call-ID", d.ID.CallID)
	return b.CSeq(seq, method)
}

// strictRoute returns the URI of the first route if it has no lr parameter, "" otherwise.
func strictRoute(set []string) string {
	if len(set) == 0 {
		return ""
	}
	var n sip.NameAddr
	var u sip.URI
	if sip.ParseNameAddr([]byte(set[0]), &n) != nil || n.ParseURI(&u) != nil || u.Params.Has("lr") {
		return ""
	}
	// Headers and the method parameter may not be in a request URI (section 19.1.1).
	s := string(n.URI)
	if len(u.Headers) > 0 {
		s = s[:len(s)-len(u.Headers)-1]
	}
	return s
}
