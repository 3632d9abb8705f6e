package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// Config says how a node takes part. With neither Cluster nor URL the node is
// alone.
type Config struct {
	Pool    string      // name of the pool; all subjects begin with it
	Node    string      // name of the node, unique in the pool
	Dir     string      // folder of the embedded server; empty: a temporary one (alone only)
	Cluster *Cluster    // the node is one of several
	URL     string      // an external server: nats://user:password@host:port, tls://...
	TLS     *tls.Config // for URL; nil: the system's roots
	Log     *slog.Logger

	MaxPayload int // largest message in bytes; 0: 1 MiB
}

// Cluster is a member's side of the pool.
type Cluster struct {
	Listen netip.AddrPort // where the other members connect; nothing else listens outside the host
	Peers  []string       // host:port of all members, this one may be among them
	// TLS serves incoming and outgoing routes alike: it must hold or look up a
	// certificate and demand one of the peer (RequireAndVerifyClientCert).
	TLS *tls.Config
}

// Mode is the kind of connection.
type Mode string

// The three modes.
const (
	Alone    Mode = "alone"
	Member   Mode = "member"
	External Mode = "external"
)

// Bus is a node's connection. It is safe for concurrent use.
type Bus struct {
	cfg       Config
	mode      Mode
	log       *slog.Logger
	server    *server.Server // nil when external
	conn      *nats.Conn
	js        jetstream.JetStream
	prefix    string // "parley.<pool>."
	temporary string // folder to remove at the end
	session   string // differs each time a node opens the bus

	ctx    context.Context // ends with the bus
	cancel context.CancelFunc
	work   sync.WaitGroup // handlers of Serve

	mu      sync.Mutex
	buckets map[string]*Bucket
	broken  chan struct{} // closed when the connection was lost and made again
	leases  *Bucket

	patience time.Duration // leaderPatience outside tests
}

// quorumPatience is how long an operation on a bucket waits for a leader that
// is being elected before it gives up with ErrNotReady.
const quorumPatience = 2 * time.Second

// Open starts the embedded server or connects to the external one. It does not
// wait for other members, nor for the external server; see Ready.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	b := &Bus{cfg: cfg, mode: Alone, log: cfg.Log, session: nats.NewInbox(),
		buckets: map[string]*Bucket{}, broken: make(chan struct{}), patience: leaderPatience}
	b.prefix = "parley." + string(MakeKey(cfg.Pool)) + "."
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if cfg.URL != "" {
		b.mode = External
		err = b.connectTo(cfg.URL)
	} else {
		if cfg.Cluster != nil {
			b.mode = Member
		}
		err = b.embed()
	}
	if err == nil {
		b.js, err = jetstream.New(b.conn, jetstream.WithDefaultTimeout(quorumPatience))
	}
	if err == nil {
		b.leases, err = b.Bucket(leaseBucket)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// embed starts the server in this process and connects to it without a socket.
func (b *Bus) embed() error {
	dir, temporary, err := b.cfg.folder()
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	b.temporary = temporary
	var key nkeys.KeyPair
	if b.server, key, err = startServer(b.cfg, dir, b.log); err != nil {
		return err
	}
	user, err := key.PublicKey()
	if err != nil {
		return err
	}
	b.conn, err = nats.Connect("", append(b.options(), nats.InProcessServer(b.server), nats.Nkey(user, key.Sign))...)
	if err != nil {
		return fmt.Errorf("bus: connect in process: %w", err)
	}
	return nil
}

func (b *Bus) connectTo(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("bus: the address of the external server is not a URL of the form nats://user:password@host:port")
	}
	opts := append(b.options(), nats.RetryOnFailedConnect(true))
	if b.cfg.TLS != nil {
		opts = append(opts, nats.Secure(b.cfg.TLS))
	}
	if b.conn, err = nats.Connect(address, opts...); err != nil {
		return fmt.Errorf("bus: connect to %s: %w", u.Redacted(), err)
	}
	return nil
}

func (b *Bus) options() []nats.Option {
	return []nats.Option{
		nats.Name(b.cfg.Node),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // a message that cannot be sent now is an error now
		nats.Timeout(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if b.ctx.Err() == nil {
				b.log.Warn("bus connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.log.Info("bus connection made again")
			b.mu.Lock()
			close(b.broken)
			b.broken = make(chan struct{})
			b.mu.Unlock()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			b.log.Error("bus delivery failed", "subject", subject, "err", err)
		}),
	}
}

// Mode says how the bus is connected.
func (b *Bus) Mode() Mode { return b.mode }

// Node is the name of this node.
func (b *Bus) Node() string { return b.cfg.Node }

// Ready returns nil when buckets can be written: the connection is up, a
// quorum exists and every bucket asked for is there. Otherwise an error that
// matches ErrNotReady and says what is missing. It is cheap enough to poll.
func (b *Bus) Ready(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return ErrClosed
	}
	if !b.conn.IsConnected() {
		return fmt.Errorf("%w: not connected", ErrNotReady)
	}
	ask, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	if _, err := b.js.AccountInfo(ask); err != nil {
		return fmt.Errorf("%w: forming: no quorum (%d routes): %w", ErrNotReady, b.routes(), err)
	}
	b.mu.Lock()
	all := make([]*Bucket, 0, len(b.buckets))
	for _, k := range b.buckets {
		all = append(all, k)
	}
	b.mu.Unlock()
	for _, k := range all {
		if err := k.ensure(ask); err != nil {
			return fmt.Errorf("%w: bucket %s: %w", ErrNotReady, k.cfg.Name, err)
		}
	}
	return nil
}

func (b *Bus) routes() int {
	if b.server == nil {
		return 0
	}
	return b.server.NumRoutes()
}

// Leave hands over to the other members what this one leads, and stops its
// server. Only Close may follow. Alone and with an external server it is Close.
func (b *Bus) Leave(ctx context.Context) error {
	if b.mode != Member || b.server == nil {
		return b.Close()
	}
	b.stopClient()
	left := make(chan struct{})
	go func() {
		b.server.LameDuckShutdown()
		close(left)
	}()
	select {
	case <-left:
	case <-ctx.Done():
		b.server.Shutdown()
		<-left
	}
	return b.Close()
}

// Close ends subscriptions, watches and leases, waits for running handlers and
// stops the server. It may be called more than once.
func (b *Bus) Close() error {
	b.stopClient()
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
	if b.temporary != "" {
		return os.RemoveAll(b.temporary)
	}
	return nil
}

// begin counts a handler that Close must wait for; false when it is too late.
func (b *Bus) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return false
	}
	b.work.Add(1)
	return true
}

func (b *Bus) stopClient() {
	b.mu.Lock()
	b.cancel()
	b.mu.Unlock()
	b.work.Wait()
	if b.conn == nil {
		return
	}
	if b.mode == Alone && b.js != nil {
		// A stream that is being made while the server shuts down leaves goroutines behind. Requests of one connection
		// are served in order, so after this answer none is being made.
		ctx, cancel := context.WithTimeout(context.Background(), lastAnswer)
		_, _ = b.js.AccountInfo(ctx)
		cancel()
	}
	b.conn.Close()
}

// lastAnswer is how long Close waits for the server to finish what it was asked for.
const lastAnswer = time.Second
