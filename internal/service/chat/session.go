package chat

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/sip/dialog"
	"parley/internal/stack"
	"parley/internal/uc"
)

// id names a session. Clients that were started in the same second use the same
// Call-IDs and tags, so who it is from counts too.
type id struct {
	dialog dialog.ID
	from   uc.AOR
}

// session is one that ends here.
type session struct {
	id     id
	to     *directory.User
	flow   *flow.Flow
	unhook func() bool
	dialog *dialog.Dialog // guarded by the lock of the service
	gone   bool           // as well
}

// open accepts an INVITE in place of endpoints without sessions.
//
// The first message may be in the INVITE (ms-body). It is not read: without
// "Supported: ms-text-format" in the answer the client sends it once more as a
// MESSAGE, whose outcome he can be told.
func (s *Service) open(tx *stack.ServerTxn, to *directory.User) error {
	m := tx.Request()
	from := tx.Identity().AOR
	if from == "" {
		return &sip.Error{Code: 403, Diagnostic: "nobody known opens a session with a phone"}
	}
	d, err := dialog.NewUAS(m, tx.ToTag())
	if err != nil {
		return err
	}
	x := &session{id: id{d.ID, from}, to: to, flow: tx.Flow(), dialog: d}
	s.mu.Lock()
	switch {
	case s.stopped || len(s.sessions) >= maxSessions || s.ofUser[from] >= maxOfUser:
		s.mu.Unlock()
		return &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: "30"}}}
	case s.sessions[x.id] != nil:
		s.mu.Unlock()
		return &sip.Error{Code: 482, Diagnostic: "the same request came twice"}
	}
	s.sessions[x.id] = x
	s.ofUser[from]++
	d.Confirm()
	s.mu.Unlock()
	x.flow.Hold()
	unhook := x.flow.OnClose(func(error) { s.end(x, false) })
	s.mu.Lock()
	x.unhook = unhook
	s.mu.Unlock()
	s.clock.Set(x, s.host.Now().Add(idle))
	return s.accept(tx)
}

// accept answers an INVITE.
func (s *Service) accept(tx *stack.ServerTxn) error {
	f := tx.Flow()
	return tx.RespondBody(200, "", "application/sdp", sdp(f.Local()),
		sip.Header{Name: "Contact", Value: s.contact(f)}, sip.Header{Name: "Allow", Value: "INVITE, ACK, BYE, MESSAGE, INFO, OPTIONS"})
}

func sdp(local netip.AddrPort) []byte {
	kind := "IP4"
	if local.Addr().Unmap().Is6() {
		kind = "IP6"
	}
	addr := local.Addr().Unmap().String()
	return fmt.Appendf(nil, "v=0\r\no=- 0 0 IN %[1]s %[2]s\r\ns=session\r\nc=IN %[1]s %[2]s\r\nt=0 0\r\nm=message %[3]d sip null\r\na=accept-types:text/plain\r\n", kind, addr, local.Port())
}

func (s *Service) contact(f *flow.Flow) string {
	c := "<sip:" + contactUser + "@" + s.host.SIP.HostPort(f)
	switch t := strings.ToLower(f.Transport().String()); t {
	case "udp":
	case "wss":
		c += ";transport=ws"
	default:
		c += ";transport=" + t
	}
	return c + ">"
}

// end forgets a session, telling the client when it is ours to do.
func (s *Service) end(x *session, tell bool) {
	s.mu.Lock()
	if x.gone {
		s.mu.Unlock()
		return
	}
	x.gone = true
	delete(s.sessions, x.id)
	if s.ofUser[x.id.from]--; s.ofUser[x.id.from] <= 0 {
		delete(s.ofUser, x.id.from)
	}
	var bye []byte
	if tell {
		var b sip.Builder
		b.Reset(nil)
		bye = x.dialog.Request(&b, "BYE").End()
	}
	unhook := x.unhook
	s.mu.Unlock()
	s.clock.Set(x, time.Time{})
	if unhook != nil {
		unhook()
	}
	x.flow.Release()
	if bye != nil {
		s.host.SIP.Request(bye, stack.Destination{Flow: x.flow}, nil)
	}
}

// within takes a request in a session that ends here.
func (s *Service) within(tx *stack.ServerTxn) error {
	m := tx.Request()
	s.mu.Lock()
	x := s.sessions[id{dialog.IDOf(m), tx.Identity().AOR}]
	var err error
	if x != nil {
		err = x.dialog.Receive(m)
	}
	s.mu.Unlock()
	switch {
	case tx.Method() == sip.ACK:
		return nil
	case x == nil:
		return &sip.Error{Code: 481}
	case err != nil:
		return err
	}
	s.clock.Set(x, s.host.Now().Add(idle))
	switch tx.Method() {
	case sip.MESSAGE:
		return s.deliver(tx, x)
	case sip.INVITE:
		return s.accept(tx)
	case sip.BYE:
		tx.Respond(200, "")
		s.end(x, false)
	case sip.INFO, sip.OPTIONS: // typing, which phones do not show
		tx.Respond(200, "")
	default:
		return &sip.Error{Code: 405, Headers: []sip.Header{{Name: "Allow", Value: "INVITE, ACK, BYE, MESSAGE, INFO, OPTIONS"}}}
	}
	return nil
}

// delivery is a message on its way to the endpoints of somebody.
type delivery struct {
	tx   *stack.ServerTxn
	left atomic.Int32
	done atomic.Bool
	best atomic.Int32
}

// deliver sends a message of a session to every endpoint that takes pager messages.
// The first that accepts it decides; when none does, the answer that says most.
func (s *Service) deliver(tx *stack.ServerTxn, x *session) error {
	m := tx.Request()
	t, ok := m.ContentType()
	if !ok || !strings.EqualFold(string(t.Type)+"/"+string(t.Subtype), "text/plain") {
		return &sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: "text/plain"}}}
	}
	sessions, pagers := s.alive(x.to.AOR, false)
	if len(sessions) > 0 || len(pagers) == 0 {
		// He has signed in with another endpoint, or out: the client begins anew.
		s.end(x, false)
		return &sip.Error{Code: 481}
	}
	branches := proxy.Endpoints(pagers, false)
	d := &delivery{tx: tx}
	d.left.Store(int32(len(branches)))
	tx.Retain()
	var b sip.Builder
	callID, tag := sip.NewCallID(rand.Reader), sip.NewTag(rand.Reader)
	for i := range branches {
		br := &branches[i]
		b.Reset(make([]byte, 0, 512+len(m.Body())))
		b.Request("MESSAGE", string(br.URI))
		for _, r := range br.Routes {
			b.HeaderBytes("Route", r)
		}
		b.Header("Max-Forwards", "70").Header("From", s.address(x.id.from)+";tag="+tag).Header("To", "<"+x.to.AOR.URI()+">").
			Header("Call-ID", callID).CSeq(1, "MESSAGE")
		s.host.SIP.Request(b.Body("text/plain;charset=UTF-8", m.Body()), stack.Destination{Flow: br.Dest.Flow}, func(_ *stack.ClientTxn, r *sip.Message, err error) {
			code := 408
			if err == nil {
				if code = r.StatusCode(); code < 200 {
					return
				}
			} else if br.Dest.Flow.Closed() {
				s.lost(br, 430)
			}
			d.answered(code)
		})
	}
	return nil
}

func (d *delivery) answered(code int) {
	if code/100 == 2 && d.done.CompareAndSwap(false, true) {
		d.tx.Respond(200, "")
	}
	if code != 408 {
		d.best.CompareAndSwap(0, int32(code))
	}
	if d.left.Add(-1) > 0 || !d.done.CompareAndSwap(false, true) {
		return
	}
	best := int(d.best.Load())
	if best < 400 || best == 401 || best == 407 {
		best = 480
	}
	d.tx.Respond(best, "")
}

// address is how somebody is called in messages in his name.
func (s *Service) address(aor uc.AOR) string {
	a := "<" + aor.URI() + ">"
	if u, ok := s.host.Directory.Lookup(aor); ok && u.Name != "" {
		return string(sip.AppendQuoted(nil, u.Name)) + " " + a
	}
	return a
}
