package interwork

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sdp"
	"parley/internal/sip"
	"parley/internal/stack"
)

// Config is what a Gateway is made of. Start and Log must be set.
type Config struct {
	// Start starts the engine. It is called once, when the first call needs it.
	Start func() (Engine, error)
	// Listen is the address of this machine that an end reaches it by; nil takes the one its flow came to.
	Listen func(*flow.Flow) netip.Addr
	// Advertise is put into descriptions in place of that, where a translator stands before this machine.
	Advertise netip.Addr
	// Certificate is that of DTLS.
	Certificate func(now time.Time) (*tls.Certificate, error)
	Log         *slog.Logger
	Now         func() time.Time
}

// Gateway is the proxy's Media. Its methods are safe for concurrent use.
type Gateway struct {
	cfg    Config
	memory memory
	counts Counters

	start  sync.Mutex
	eng    Engine
	engErr error
	ours   atomic.Pointer[[]sdp.Codec]

	mu       sync.Mutex
	closed   bool
	sessions map[sessionKey]*session
	byID     map[string]int // sessions by Call-ID
	users    map[string]int // and by who calls
}

// Counters only grow.
type Counters struct {
	Sessions atomic.Uint64 // calls that the engine was put into
	Retried  atomic.Uint64 // offers made once more in another way, after a refusal
	Refused  atomic.Uint64 // offers refused: malformed, nothing to share, no ports
	Lost     atomic.Uint64 // sessions ended because nobody told their end
}

var errClosed = errors.New("interwork: closed")

// New returns a gateway.
func New(c Config) *Gateway {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Gateway{cfg: c, sessions: map[sessionKey]*session{}, byID: map[string]int{}, users: map[string]int{}}
}

// Counters returns the live counters.
func (g *Gateway) Counters() *Counters { return &g.counts }

// engine returns the engine, which is started when it is needed for the first time. One that does not start is not
// tried again.
func (g *Gateway) engine() (Engine, error) {
	g.start.Lock()
	defer g.start.Unlock()
	if g.eng == nil && g.engErr == nil {
		if g.eng, g.engErr = g.cfg.Start(); g.engErr != nil {
			g.cfg.Log.Error("the media engine does not start: calls between ends of different kinds are refused", "err", g.engErr)
		} else {
			v := g.eng.Voices()
			g.ours.Store(&v)
		}
	}
	return g.eng, g.engErr
}

// voices are the engine's.
func (g *Gateway) voices() []sdp.Codec {
	if v := g.ours.Load(); v != nil {
		return *v
	}
	e, err := g.engine()
	if err != nil {
		return nil
	}
	return e.Voices()
}

// Request implements proxy.Media.
func (g *Gateway) Request(tx *stack.ServerTxn) proxy.Exchange {
	m := tx.Request()
	if m.ToTag() != nil {
		return g.within(tx, m)
	}
	if m.Method() != sip.INVITE || len(m.Body()) > 0 && described(m) == nil {
		return nil
	}
	return &invite{g: g, tx: tx, m: m}
}

// within returns the exchange of a request within a dialog that the engine serves.
func (g *Gateway) within(tx *stack.ServerTxn, m *sip.Message) proxy.Exchange {
	g.mu.Lock()
	var s *session
	if g.byID[string(m.CallID())] > 0 {
		for _, tag := range [][]byte{m.FromTag(), m.ToTag()} {
			if s = g.sessions[sessionKey{string(m.CallID()), string(tag)}]; s != nil {
				break
			}
		}
	}
	g.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, from := s.find(m)
	if l == nil {
		return nil
	}
	if f := tx.Flow(); f != nil {
		l.sides[from].flow = f // it may have come back by another
	}
	return &inside{l: l, from: from, m: m}
}

// perUser is how many calls of one user may pass through at a time, so that nobody takes all ports.
const perUser = 50

// session makes the session of a call. There is none, and no error, when there is one already: the call has come back
// in a circle. User is who calls, if it is a user.
func (g *Gateway) session(key sessionKey, from *end, user string) (*session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.sessions[key] != nil {
		return nil, nil
	}
	if user != "" {
		if g.users[user] >= perUser {
			return nil, sip.Errorf(503, "more than %d calls of one user pass through", perUser)
		}
		g.users[user]++
	}
	s := &session{g: g, key: key, user: user, caller: from, started: g.cfg.Now()}
	g.sessions[key] = s
	g.byID[key.id]++
	g.counts.Sessions.Add(1)
	return s, nil
}

func (g *Gateway) forget(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.key] != s {
		return
	}
	delete(g.sessions, s.key)
	if g.byID[s.key.id]--; g.byID[s.key.id] <= 0 {
		delete(g.byID, s.key.id)
	}
	if s.user == "" {
		return
	}
	if g.users[s.user]--; g.users[s.user] <= 0 {
		delete(g.users, s.user)
	}
}

func (g *Gateway) all() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		out = append(out, s)
	}
	return out
}

// Sweep ends sessions that nobody told the end of: their session timer ran out, the connections of both ends are gone
// for some time, or nothing was heard of either for very long. It is to be called every few seconds.
func (g *Gateway) Sweep(now time.Time) {
	for _, s := range g.all() {
		s.mu.Lock()
		if !s.closed && s.over(now) {
			g.counts.Lost.Add(1)
			s.close()
		}
		s.mu.Unlock()
	}
}

// Close ends all sessions. The engine is the caller's to close; it returns the one that was started, or nil.
func (g *Gateway) Close() Engine {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	for _, s := range g.all() {
		s.mu.Lock()
		s.close()
		s.mu.Unlock()
	}
	g.start.Lock()
	defer g.start.Unlock()
	e := g.eng
	g.eng, g.engErr = nil, errClosed
	return e
}
