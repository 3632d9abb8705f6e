package bus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

const (
	defaultPayload = 1 << 20
	memoryLimit    = "4GB" // an upper bound of all buckets, not a reservation
	fileLimit      = "8GB"
	startPatience  = 10 * time.Second
)

// serverConfig renders the configuration of the embedded server. It goes
// through the server's own parser, because options set in code take paths that
// few people travel (nats-server issues 6890 and 4794). The client's credential
// is the public half of a key, so the text holds no secret.
func serverConfig(cfg Config, dir, user string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\n", strconv.Quote(cfg.Node))
	// A clustered server needs a client listener to become ready; it is on the
	// loopback with a port of the system's choice. Alone there is none.
	b.WriteString("host: \"127.0.0.1\"\nport: -1\n")
	fmt.Fprintf(&b, "max_payload: %d\nmax_pending: 67108864\nmax_control_line: 8KB\n", cfg.MaxPayload)
	fmt.Fprintf(&b, `accounts {
  PARLEY { jetstream: enabled, users: [ { nkey: %s } ] }
  SYS {}
}
system_account: SYS
`, user)
	fmt.Fprintf(&b, `jetstream {
  store_dir: %s
  sync_interval: always
  max_memory_store: %s
  max_file_store: %s
}
`, strconv.Quote(dir), memoryLimit, fileLimit)
	if c := cfg.Cluster; c != nil {
		fmt.Fprintf(&b, "cluster {\n  name: %s\n  listen: %s\n  routes: [\n", strconv.Quote(cfg.Pool), strconv.Quote(c.Listen.String()))
		for _, peer := range c.Peers {
			fmt.Fprintf(&b, "    %s\n", strconv.Quote("nats-route://"+peer))
		}
		b.WriteString("  ]\n}\n")
	}
	return b.String()
}

// startServer starts the embedded server. It waits for its own listeners, not
// for other members.
func startServer(cfg Config, dir string, log *slog.Logger) (*server.Server, nkeys.KeyPair, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, nil, err
	}
	user, err := key.PublicKey()
	if err != nil {
		return nil, nil, err
	}
	text := serverConfig(cfg, dir, user)
	log.Debug("bus server configuration", "text", text)
	opts := &server.Options{}
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, nil, fmt.Errorf("bus: the server refuses its configuration: %w", err)
	}
	opts.NoSigs = true // signals belong to the program
	opts.NoLog = true  // the logger below replaces the server's own
	opts.DontListen = cfg.Cluster == nil
	opts.LameDuckGracePeriod, opts.LameDuckDuration = 10*time.Millisecond, time.Second
	if c := cfg.Cluster; c != nil {
		opts.Cluster.TLSConfig = c.TLS
		opts.Cluster.TLSTimeout = 5
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("bus: %w", err)
	}
	sink := &serverLog{log: log}
	s.SetLoggerV2(sink, log.Enabled(nil, slog.LevelDebug), false, false)
	s.Start()
	if !s.ReadyForConnections(startPatience) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, nil, fmt.Errorf("bus: the embedded server did not start: %s", sink.lastError())
	}
	return s, key, nil
}

// check refuses a configuration with a sentence and fills in defaults.
func (cfg *Config) check() error {
	switch {
	case cfg.Pool == "" || cfg.Node == "":
		return errors.New("bus: the names of pool and node are needed")
	case cfg.URL != "" && cfg.Cluster != nil:
		return errors.New("bus: a node is a member of a cluster or uses an external server, not both")
	case cfg.MaxPayload < 0 || cfg.MaxPayload > 8<<20:
		return fmt.Errorf("bus: largest message of %d bytes, want at most 8 MiB", cfg.MaxPayload)
	}
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = defaultPayload
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Cluster == nil {
		return nil
	}
	c := cfg.Cluster
	switch {
	case cfg.Dir == "":
		return errors.New("bus: a member of a cluster needs a folder: the pool's agreement is kept there")
	case !c.Listen.IsValid():
		return errors.New("bus: a member of a cluster needs an address for the others to connect to")
	case c.TLS == nil || c.TLS.ClientAuth != tls.RequireAndVerifyClientCert:
		return errors.New("bus: a cluster needs TLS that demands and checks the certificate of the peer")
	case len(c.Peers) < 2:
		// A cluster block without peers never reaches a quorum.
		return fmt.Errorf("bus: a cluster of %d; a node without peers is alone, and needs no cluster", len(c.Peers))
	}
	for _, peer := range c.Peers {
		if _, port, err := net.SplitHostPort(peer); err != nil || port == "" || strings.ContainsAny(peer, "/@ ") {
			return fmt.Errorf("bus: peer %q, want host:port", peer)
		}
	}
	return nil
}

// folder returns where the embedded server keeps its files, and what to remove
// afterwards.
func (cfg *Config) folder() (dir, temporary string, err error) {
	if cfg.Dir != "" {
		dir = filepath.Clean(cfg.Dir)
		return dir, "", os.MkdirAll(dir, 0o700)
	}
	dir, err = os.MkdirTemp("", "parley-bus-")
	return dir, dir, err
}

// serverLog hands the server's log lines to ours. Its notices are our debug:
// an operator sees the state of the bus through Ready.
type serverLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
}

func (l *serverLog) remember(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = line
}

func (l *serverLog) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return "it gave no reason"
	}
	return l.last
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("bus server", "text", fmt.Sprintf(format, v...))
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("bus server warns", "text", fmt.Sprintf(format, v...))
}
func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.remember(line)
	l.log.Error("bus server error", "text", line)
}

// Fatalf must not end the process: who embeds the server decides.
func (l *serverLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }
