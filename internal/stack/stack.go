package stack

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/txn"
)

// ErrDrop, returned by Config.Admit, makes a request vanish without an answer.
var ErrDrop = errors.New("stack: dropped without answer")

// Config is what a Stack is made of. Log and Route must be set.
type Config struct {
	Log *slog.Logger

	// Admit decides in the reader whether a request is served at all: trust class, digest, rates. It may set the
	// identity of the transaction. An error refuses the request without a transaction being kept: a *sip.Error
	// is answered as it says, ErrDrop not at all, any other with 500. tx must not be kept when it is refused.
	// It is not asked for CANCEL, nor for ACKs and repetitions that belong to a transaction. Nil admits all.
	Admit func(tx *ServerTxn) error

	// Screen decides in the reader whether a response, an ACK or a CANCEL is taken, none of which Admit sees: false
	// makes it vanish. Nil takes all.
	Screen func(f *flow.Flow, m *sip.Message) bool

	// Route serves a request. It runs in the reader; see the package comment.
	Route func(tx *ServerTxn)

	// Open is asked before a flow's first message; an error refuses the flow. Closed hears of its end. Either
	// may be nil.
	Open   func(f *flow.Flow) error
	Closed func(f *flow.Flow, err error)

	// Responded hears of every response that is sent to a request, for metrics and call lists. raw is valid until
	// it returns; it must not wait. Nil is allowed.
	Responded func(method sip.Method, code int, raw []byte)

	// HostPort returns the "host:port" by which peers on this flow reach us, for Via and Record-Route; "" or nil
	// takes the flow's local address, with the port of a listener where the flow was dialled.
	HostPort func(f *flow.Flow) string

	Timers txn.Timers // zero takes txn.DefaultTimers
	Limits Limits
	Now    func() time.Time // nil is time.Now
}

// Limits bounds the work the stack takes on. A zero field takes the default written beside it.
type Limits struct {
	Open       int           // transactions without final answer (100,000); beyond it new requests get 503
	Linger     int           // answered transactions kept to absorb repetitions (65,536); beyond it the oldest go first
	QueueDelay time.Duration // how late the stack may run behind its clock (500 ms); beyond it new requests get 503
	RetryAfter time.Duration // what such a 503 asks for (10 s)
	Lookups    int           // DNS look-ups and dials under way (1,024); beyond it requests to new targets fail
	Lookup     time.Duration // for one look-up with its dial (10 s)
}

func (l Limits) withDefaults() Limits {
	or(&l.Open, 100_000)
	or(&l.Linger, 1<<16)
	or(&l.QueueDelay, 500*time.Millisecond)
	or(&l.RetryAfter, 10*time.Second)
	or(&l.Lookups, 1024)
	or(&l.Lookup, 10*time.Second)
	return l
}

func or[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Stack is the transaction layer. It is the flow.Handler of the layer given to Start.
type Stack struct {
	cfg    Config
	timers txn.Timers
	layer  *flow.Layer
	start  time.Time
	seed   maphash.Seed
	tags   maphash.Seed
	shards [shardCount]shard
	stats  counters

	retryAfter string
	lastTick   atomic.Int64 // when the clock last ran, as now counts
	late       atomic.Int64 // how late it was then
	behind     atomic.Int64 // how late it was the last two times, at least
	nextAlarm  atomic.Uint32

	ctx     context.Context // ends with Stop; for look-ups and dials only
	cancel  context.CancelFunc
	lookups chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	stopped bool
	gone    map[*flow.Flow]error // flows that ended since the last tick
}

var _ flow.Handler = (*Stack)(nil)

// New returns a stack. It starts nothing; give it to flow.New as Handler, then the layer to Start.
func New(cfg Config) *Stack {
	if cfg.Timers == (txn.Timers{}) {
		cfg.Timers = txn.DefaultTimers()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Stack{
		cfg:     cfg,
		timers:  cfg.Timers,
		start:   cfg.Now().Add(-time.Second), // the machines need times above zero
		seed:    maphash.MakeSeed(),
		tags:    maphash.MakeSeed(),
		lookups: make(chan struct{}, cfg.Limits.Lookups),
		gone:    make(map[*flow.Flow]error),
	}
	s.retryAfter = seconds(cfg.Limits.RetryAfter)
	now := s.now()
	for i := range s.shards {
		s.shards[i].init(now, cfg.Limits.Linger/shardCount+1)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start begins to run timers and to reach targets over layer, whose Handler must be s. Call it once, before the
// layer has listeners.
func (s *Stack) Start(layer *flow.Layer) {
	s.layer = layer
	s.lastTick.Store(int64(s.now()))
	s.running.Go(s.clock)
}

// Stop ends timers, look-ups and dials and waits for their goroutines or for ctx. Transactions are not finished;
// close the flows first, so that nothing comes in any more.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cancel()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }() // ends with the goroutines, whoever waits
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Layer returns the flow layer given to Start.
func (s *Stack) Layer() *flow.Layer { return s.layer }

// now is the time the machines see.
func (s *Stack) now() time.Duration { return s.cfg.Now().Sub(s.start) }

// background runs fn in a goroutine Stop waits for, unless the stack has stopped or too many are under way.
func (s *Stack) background(fn func(ctx context.Context)) bool {
	select {
	case s.lookups <- struct{}{}:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		<-s.lookups
		return false
	}
	s.running.Go(func() {
		defer func() { <-s.lookups }()
		ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Limits.Lookup)
		defer cancel()
		fn(ctx)
	})
	return true
}

// Open implements flow.Handler.
func (s *Stack) Open(f *flow.Flow) error {
	if s.cfg.Open != nil {
		return s.cfg.Open(f)
	}
	return nil
}

// Closed implements flow.Handler. The transactions of the flow hear of it with the next tick.
func (s *Stack) Closed(f *flow.Flow, err error) {
	s.mu.Lock()
	if !s.stopped {
		s.gone[f] = err
	}
	s.mu.Unlock()
	if s.cfg.Closed != nil {
		s.cfg.Closed(f, err)
	}
}

// Message implements flow.Handler.
func (s *Stack) Message(f *flow.Flow, m *sip.Message) {
	if s.cfg.Screen != nil && (!m.IsRequest() || m.Method() == sip.ACK || m.Method() == sip.CANCEL) && !s.cfg.Screen(f, m) {
		s.stats.stray.Add(1)
		return
	}
	if m.IsRequest() {
		s.request(f, m)
	} else {
		s.response(f, m)
	}
}

// Malformed implements flow.Handler: what can be answered is answered, without state.
func (s *Stack) Malformed(f *flow.Flow, m *sip.Message, err error) {
	s.stats.malformed.Add(1)
	var e *sip.Error
	if m == nil || !m.IsRequest() || !m.Answerable() || !errors.As(err, &e) {
		return
	}
	v, err := m.TopVia()
	if err != nil {
		return
	}
	s.refuse(f, m, e, s.key(m, &v))
}

// HostPort returns the "host:port" by which the peer of f reaches us.
func (s *Stack) HostPort(f *flow.Flow) string { return s.of(f).hostPort }

// flowState is what the stack remembers of a flow.
type flowState struct {
	hostPort string
	via      string // value of our Via up to the transaction's number
}

// of returns what the stack remembers of a flow, working it out the first time.
func (s *Stack) of(f *flow.Flow) *flowState {
	if st, ok := f.Value(flow.SlotStack).(*flowState); ok {
		return st
	}
	st := &flowState{}
	if s.cfg.HostPort != nil {
		st.hostPort = s.cfg.HostPort(f)
	}
	if st.hostPort == "" {
		a := s.reachable(f)
		st.hostPort = netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()).String()
	}
	st.via = "SIP/2.0/" + f.Transport().String() + " " + st.hostPort
	if f.Transport() == flow.UDP {
		st.via += ";rport" // RFC 3581: the answer comes to where this was sent from
	}
	st.via += ";branch=" + sip.MagicCookie + branchMark
	f.SetValue(flow.SlotStack, st)
	return st
}

// reachable returns the address peers of f can connect to: that of the flow, but with the port of a listener
// when the flow was dialled and so has a port of its own.
func (s *Stack) reachable(f *flow.Flow) netip.AddrPort {
	addr := f.Local()
	if !f.Dialled() || s.layer == nil {
		return addr
	}
	for _, l := range s.layer.Listeners() {
		if l.Transport() == f.Transport() && (l.Addr().Addr() == addr.Addr() || l.Addr().Addr().IsUnspecified()) {
			return netip.AddrPortFrom(addr.Addr(), l.Addr().Port())
		}
	}
	return addr
}
