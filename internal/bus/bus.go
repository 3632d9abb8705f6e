package bus

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	Peers  []string       // host:port of the members, this one may be among them
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
	cfg    Config
	mode   Mode
	log    *slog.Logger
	server *server.Server // nil when external
	conn   *nats.Conn
	js     jetstream.JetStream
	prefix string // "parley.<pool>."
	tmp    string // temporary folder to remove

	ctx    context.Context // ends with the bus
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	buckets map[string]*Bucket
	closed  bool
}

// quorumPatience is how long an operation on a bucket waits for a leader that
// is being elected before it gives up with ErrNotReady.
const quorumPatience = 2 * time.Second

// Mode says how the bus is connected.
func (b *Bus) Mode() Mode { return b.mode }

// Node is the name of this node.
func (b *Bus) Node() string { return b.cfg.Node }
