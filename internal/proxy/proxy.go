package proxy

import (
	"crypto/rand"
	"hash/maphash"
	"log/slog"
	"time"

	"parley/internal/sip"
	"parley/internal/stack"
)

// Config is what a Proxy is made of. Stack and Log must be set.
type Config struct {
	Stack *stack.Stack
	Log   *slog.Logger

	// Host is the name of this server, for reports to clients.
	Host string

	// People are the users, for Vouch. Nil leaves requests as they are.
	People People

	// Media has its say in the session descriptions of calls. Nil leaves them alone.
	Media Media

	// Alive reports whether a member of the pool is there. Nil takes all to be.
	Alive func(node string) bool

	// Key signs route tokens, 32 bytes. With the same key after a restart, the routes of calls over UDP stay
	// valid. Nil makes a key for this process.
	Key []byte

	// IsLocal reports whether a Route with this host and port (0 when absent) means this server. Routes with our
	// tokens count as ours only if it agrees; nil takes every token and no other Route for ours.
	IsLocal func(host []byte, port uint16) bool

	// TimerC is how long a called party may stay without answer after its last sign of life; zero takes 185 s.
	// RFC 3261 16.6 asks for more than three minutes.
	TimerC time.Duration
}

// Proxy forwards requests. Its methods may be called from any goroutine.
type Proxy struct {
	cfg    Config
	stack  *stack.Stack
	tokens tokens
	seed   maphash.Seed // of the part of our branches by which loops are found
	stats  stats
}

// New returns a proxy. It starts nothing and has nothing to stop.
func New(cfg Config) *Proxy {
	if cfg.TimerC == 0 {
		cfg.TimerC = 185 * time.Second
	}
	if len(cfg.Key) == 0 {
		cfg.Key = make([]byte, 32)
		rand.Read(cfg.Key) // never fails (crypto/rand)
	}
	p := &Proxy{cfg: cfg, stack: cfg.Stack, seed: maphash.MakeSeed()}
	p.tokens.init(p, cfg.Key)
	return p
}

// Branch is one place to forward a request to.
type Branch struct {
	URI    []byte            // new request URI; nil keeps the old one
	Dest   stack.Destination // where to send it; the zero value follows the first Route, else the request URI
	Routes [][]byte          // Route values to put on top, such as the Path of a binding
	Group  int               // groups are tried in ascending order, branches of one group in parallel
	Tag    any               // for the user, who finds it in hooks
}

// Options say how a request is forwarded. The zero value forwards it as it is and sends back what comes.
type Options struct {
	// RecordRoute keeps us in the path of the dialog the request makes.
	RecordRoute bool
	// Path adds a Path field with the flow the request came on (RFC 3327), for a REGISTER forwarded to its
	// registrar.
	Path bool
	// Timeout ends the attempts of a group that has no final response by then; 0 leaves it to the transactions
	// (32 s) and Timer C.
	Timeout time.Duration
	// Headers are added to the forwarded requests, Drop leaves out received fields. Nil changes nothing.
	Headers []sip.Header
	Drop    func(sip.Field) bool

	// OnFinal is called before a final response other than 2xx goes to the caller, with its code and with the
	// response it came from, nil when it is our own. True takes over: the hook sees to the answer, now or later.
	OnFinal func(code int, best *sip.Message) bool
	// OnBranchFailure is called when a branch ends without a response: 430 when its flow is gone (RFC 5626), 408
	// when nobody answered, 503 when nothing could be sent, 502 when its response cannot be used.
	OnBranchFailure func(b *Branch, code int)
	// OnResponse is called for every response that a branch gives, before anything is done about it.
	OnResponse func(b *Branch, m *sip.Message)
}

// The hooks of one request are never called at the same time. They run in readers and in the timers' goroutine
// and must not wait for anything. Messages are valid until they return.
