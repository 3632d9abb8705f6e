package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// poolTLS returns route TLS from a fresh authority, as the cert package gives
// it: looked up at each handshake.
func poolTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	pair := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil },
		ClientAuth:           tls.RequireAndVerifyClientCert, ClientCAs: roots, RootCAs: roots,
	}
}

// testPool is a pool of three whose members are started one by one.
type testPool struct {
	t       testing.TB
	cfg     [3]Config
	members [3]*Bus
}

func newPool(t testing.TB) *testPool {
	p := &testPool{t: t}
	secure := poolTLS(t)
	var peers []string
	var addrs []netip.AddrPort
	for range p.cfg {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().(*net.TCPAddr).AddrPort())
		peers = append(peers, l.Addr().String())
	}
	dir := t.TempDir()
	for i := range p.cfg {
		p.cfg[i] = Config{Pool: "pool.example.test", Node: fmt.Sprintf("node%d.example.test", i+1), Log: quiet(),
			Dir: filepath.Join(dir, fmt.Sprint(i+1)), Cluster: &Cluster{Listen: addrs[i], Peers: peers, TLS: secure}}
	}
	t.Cleanup(func() { p.stop(0, 1, 2) })
	return p
}

func (p *testPool) start(which ...int) {
	p.t.Helper()
	for _, i := range which {
		b, err := Open(p.t.Context(), p.cfg[i])
		if err != nil {
			p.t.Fatal(err)
		}
		p.members[i] = b
	}
}

func (p *testPool) stop(which ...int) {
	var all sync.WaitGroup
	for _, i := range which {
		if b := p.members[i]; b != nil {
			all.Go(func() { b.Close() })
			p.members[i] = nil
		}
	}
	all.Wait()
}

// ready waits until a member can write.
func ready(t testing.TB, b *Bus) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		err := b.Ready(t.Context())
		if err == nil {
			return
		}
		if !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("never ready:", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("never ready:", err)
		}
	}
}

// eventually repeats what may fail while a leader is elected.
func eventually(t testing.TB, what string, do func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, ErrNotReady) || time.Now().After(deadline) {
			t.Fatal(what+":", err)
		}
	}
}

// TestPool takes one pool of three through its life, because forming one takes
// seconds. It holds traps 1, 2, 3 and 5 of
// docs/design/embedded-bus.md.
func TestPool(t *testing.T) {
	p := newPool(t)
	ctx := t.Context()

	// Trap 3: readiness is not quorum. The first member starts at once, serves
	// what needs no quorum, and says what is missing.
	p.start(0)
	first := p.members[0]
	reg := func(i int) *Bucket { return bucket(t, p.members[i], BucketConfig{Name: "reg_v1"}) }
	if err := first.Ready(ctx); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "forming") {
		t.Errorf("one of three is ready: %v", err)
	}
	if _, err := reg(0).Put(ctx, "a", []byte("x"), 0); !errors.Is(err, ErrNotReady) {
		t.Errorf("one of three can write: %v", err)
	}
	stop, err := first.Serve(first.Subject("test", "who"), func(context.Context, Message) ([]byte, error) { return []byte("first"), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if answer, err := first.Request(ctx, first.Subject("test", "who"), nil); err != nil || string(answer) != "first" {
		t.Errorf("one of three cannot ask itself: %q, %v", answer, err)
	}

	// Trap 1: a clustered server must listen for clients to become ready. It
	// does so on the loopback only, and serves nobody without the key.
	addr := first.server.Addr().(*net.TCPAddr)
	if !addr.IP.IsLoopback() {
		t.Errorf("the client listener is on %v", addr)
	}
	if conn, err := nats.Connect("nats://" + addr.String()); err == nil {
		conn.Close()
		t.Error("a client without credentials was let in")
	}

	p.start(1, 2)
	changes := make(chan Change, 1000)
	for i, b := range p.members {
		ready(t, b)
		k := reg(i)
		if i == 2 {
			go k.Watch(ctx, "", func(c Change) { changes <- c })
		}
	}
	eventually(t, "write", func() error { return errOf(reg(1).Put(ctx, "b", []byte("from 2"), 0)) })
	if answer, err := p.members[2].Request(ctx, p.members[2].Subject("test", "who"), nil); err != nil || string(answer) != "first" {
		t.Errorf("a question across the pool: %q, %v", answer, err)
	}
	sawPut(t, changes, "b")

	// A peer without a certificate of the pool is no member.
	conn, err := tls.Dial("tcp", p.cfg[0].Cluster.Listen.String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		// TLS 1.3 reports the refusal at the first read.
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err = conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a peer without certificate was let in")
		}
		conn.Close()
	}

	// The holder of a lease dies: another takes over, with a greater term.
	terms := make(chan string, 10)
	holds := func(i int) {
		b := p.members[i]
		go b.Lead(ctx, "conferences", 2*time.Second, func(ctx context.Context, term uint64) error {
			terms <- fmt.Sprintf("%s %020d", b.Node(), term)
			<-ctx.Done()
			return nil
		})
	}
	holds(0)
	before := next(t, terms)
	holds(1)
	stop()
	p.stop(0)
	eventually(t, "write after a loss", func() error { return errOf(reg(1).Put(ctx, "c", []byte("two left"), 0)) })
	after := next(t, terms)
	if !strings.HasPrefix(after, "node2") || after[len(after)-20:] <= before[len(before)-20:] {
		t.Errorf("the lease went from %q to %q", before, after)
	}
	sawPut(t, changes, "c")

	// It comes back and is one of them again.
	p.start(0)
	ready(t, p.members[0])
	eventually(t, "read on the member that came back", func() error {
		e, err := reg(0).Get(ctx, "c")
		if errors.Is(err, ErrNotFound) || err == nil && string(e.Value) != "two left" {
			return fmt.Errorf("%w: behind", ErrNotReady)
		}
		return err
	})

	// Trap 2: a member hands over before it leaves; the others go on.
	if err := p.members[1].Leave(ctx); err != nil {
		t.Error("leave:", err)
	}
	p.members[1] = nil
	eventually(t, "write after one left", func() error { return errOf(reg(2).Put(ctx, "d", []byte("still"), 0)) })
	sawPut(t, changes, "d")

	// Trap 5: the whole pool is started anew and finds its leaders and what it
	// had on disk.
	p.start(1)
	kept := BucketConfig{Name: "kept_v1", File: true}
	eventually(t, "write to disk", func() error { return errOf(bucket(t, p.members[2], kept).Put(ctx, "k", []byte("kept"), 0)) })
	p.stop(0, 1, 2)
	p.start(0, 1, 2)
	for i, b := range p.members {
		ready(t, b)
		eventually(t, "write after all were started anew", func() error { return errOf(reg(i).Put(ctx, "e", []byte("again"), 0)) })
	}
	eventually(t, "read from disk", func() error {
		e, err := bucket(t, p.members[0], kept).Get(ctx, "k")
		if err == nil && string(e.Value) != "kept" {
			t.Errorf("the disk holds %q", e.Value)
		}
		return err
	})
}

// sawPut reads changes until key was put.
func sawPut(t testing.TB, changes <-chan Change, key Key) {
	t.Helper()
	for c := next(t, changes); c.Op != Put || c.Key != key; {
		c = next(t, changes)
	}
}

// Trap 2, alone: lame duck does nothing there, so Leave is Close.
func TestAloneLeavesAtOnce(t *testing.T) {
	b := alone(t)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.server.Running() {
		t.Error("the server still runs")
	}
	if err := b.Ready(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Trap 1, alone: no socket at all.
func TestAloneListensNowhere(t *testing.T) {
	b := alone(t)
	if addr := b.server.Addr(); addr != nil {
		t.Errorf("a node alone listens on %v", addr)
	}
}

// Trap 4: acknowledged is not synced, unless asked for.
func TestFilesAreFlushedAtEachWrite(t *testing.T) {
	cfg := Config{Pool: "p", Node: "n", Dir: t.TempDir(), Log: quiet()}
	for _, value := range []string{"", "kept"} {
		b, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var opts server.Options
		if err := opts.ProcessConfigString(serverConfig(b.cfg, cfg.Dir, "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4")); err != nil || !opts.SyncAlways {
			t.Errorf("files are not flushed at each write (%v)", err)
		}
		k := bucket(t, b, BucketConfig{Name: "kept_v1", File: true})
		if e, err := k.Get(t.Context(), "k"); err != nil && value != "" || string(e.Value) != value {
			t.Errorf("got %q, want %q: %v", e.Value, value, err)
		}
		if _, err := k.Put(t.Context(), "k", []byte("kept"), 0); err != nil {
			t.Error(err)
		}
		b.Close()
	}
}

// Trap 5: the text that the server parses holds no secret, and names only what
// the server knows.
func TestServerConfigurationHoldsNoSecret(t *testing.T) {
	p := newPool(t)
	text := serverConfig(p.cfg[0], `/var/lib/parley/bus "x"`, "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4")
	var opts server.Options
	if err := opts.ProcessConfigString(text); err != nil {
		t.Fatal(err)
	}
	if len(opts.Routes) != 3 || opts.StoreDir != `/var/lib/parley/bus "x"` || opts.Cluster.Name != "pool.example.test" {
		t.Errorf("%+v", opts)
	}
	if strings.Contains(text, "password") || strings.Contains(text, "seed") {
		t.Error(text)
	}
}

// Trap 6: what does not fit is refused and left alone.
func TestBucketWithOtherPropertiesIsNotTouched(t *testing.T) {
	cfg := Config{Pool: "p", Node: "n", Dir: t.TempDir(), Log: quiet()}
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	file := BucketConfig{Name: "kept_v1", File: true}
	if _, err := bucket(t, b, file).Put(t.Context(), "k", []byte("precious"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Bucket(BucketConfig{Name: "kept_v1"}); !errors.Is(err, ErrIncompatible) {
		t.Errorf("asked for twice, differently: %v", err)
	}
	b.Close()
	if b, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	changed := bucket(t, b, BucketConfig{Name: "kept_v1", File: true, TTL: time.Minute})
	if _, err := changed.Put(t.Context(), "k", []byte("other"), 0); !errors.Is(err, ErrIncompatible) {
		t.Errorf("put: %v", err)
	}
	if err := b.Ready(t.Context()); !errors.Is(err, ErrIncompatible) || !strings.Contains(err.Error(), "kept_v1") {
		t.Errorf("ready: %v", err)
	}
	if err := changed.Watch(t.Context(), "", func(Change) {}); !errors.Is(err, ErrIncompatible) {
		t.Errorf("watch: %v", err)
	}
	b.Close()
	if b, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if e, err := bucket(t, b, file).Get(t.Context(), "k"); err != nil || string(e.Value) != "precious" {
		t.Errorf("%q, %v", e.Value, err)
	}
}

// Trap 7: a cluster without peers never has a quorum, so it is refused; a node
// that was alone becomes one of three.
func TestNodeAloneGrowsIntoAPool(t *testing.T) {
	p := newPool(t)
	single := p.cfg[0]
	single.Cluster = nil
	b, err := Open(t.Context(), single)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket(t, b, BucketConfig{Name: "reg_v1"}).Put(t.Context(), "a", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	b.Close()
	p.start(0, 1, 2)
	for _, b := range p.members {
		ready(t, b)
		eventually(t, "write in the grown pool", func() error {
			return errOf(bucket(t, b, BucketConfig{Name: "reg_v1"}).Put(t.Context(), "a", []byte("y"), 0))
		})
	}
}

func TestConfigurationThatCannotWorkIsRefused(t *testing.T) {
	listen := netip.MustParseAddrPort("127.0.0.1:7000")
	peers := []string{"127.0.0.1:7000", "127.0.0.1:7001", "127.0.0.1:7002"}
	secure := poolTLS(t)
	for want, cfg := range map[string]Config{
		"names of pool and node": {Node: "n"},
		"not both":               {URL: "nats://127.0.0.1:1", Cluster: &Cluster{}},
		"needs a folder":         {Cluster: &Cluster{Listen: listen, Peers: peers, TLS: secure}},
		"needs an address":       {Dir: "x", Cluster: &Cluster{Peers: peers, TLS: secure}},
		"demands and checks":     {Dir: "x", Cluster: &Cluster{Listen: listen, Peers: peers, TLS: &tls.Config{}}},
		"is alone":               {Dir: "x", Cluster: &Cluster{Listen: listen, Peers: peers[:1], TLS: secure}},
		"want host:port":         {Dir: "x", Cluster: &Cluster{Listen: listen, Peers: []string{"a:1", "b"}, TLS: secure}},
		"at most 8 MiB":          {MaxPayload: 1 << 30},
		"not a URL":              {URL: "nats://u:secret@ x"},
	} {
		if want != "names of pool and node" {
			cfg.Pool, cfg.Node = "p", "n"
		}
		b, err := Open(t.Context(), cfg)
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestExternalServerByURL(t *testing.T) {
	text := fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\nauthorization { user: parley, password: s3cret }", t.TempDir())
	var opts server.Options
	if err := opts.ProcessConfigString(text); err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the external server did not start")
	}
	open := func(user string) *Bus {
		b, err := Open(t.Context(), Config{Pool: "p", Node: "n", URL: "nats://" + user + "@" + s.Addr().String(), Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	b := open("parley:s3cret")
	ready(t, b)
	if _, err := bucket(t, b, BucketConfig{Name: "reg_v1"}).Create(t.Context(), "a", []byte("x"), time.Minute); err != nil {
		t.Error(err)
	}
	if err := open("parley:wrong").Ready(t.Context()); !errors.Is(err, ErrNotReady) {
		t.Errorf("with a wrong password: %v", err)
	}
}

// A bucket that was made while the pool formed has one copy at first, and must outlive the member that holds it.
func TestBucketGrows(t *testing.T) {
	p := newPool(t)
	p.start(0, 1, 2)
	first := p.members[0]
	ready(t, first)
	k, err := first.Bucket(BucketConfig{Name: "grows_v1"})
	if err != nil {
		t.Fatal(err)
	}
	small := k.streamConfig()
	small.Replicas = 1
	if _, err := first.js.CreateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first value", func() error {
		_, err := k.Put(t.Context(), "a", []byte("1"), 0)
		return err
	})
	for copies := 0; copies < 3; {
		stream, err := first.js.Stream(t.Context(), small.Name)
		if err != nil {
			t.Fatal(err)
		}
		copies = stream.CachedInfo().Config.Replicas
	}
}

// TestBucketThatLostItsLeader: the only copy of a bucket dies with its member, as it may while a pool forms. The others
// make it anew, and their watchers learn that it is empty.
func TestBucketThatLostItsLeader(t *testing.T) {
	p := newPool(t)
	p.start(0, 1, 2)
	for _, b := range p.members {
		b.patience = 0
		ready(t, b)
	}
	cfg := BucketConfig{Name: "reg_v1"}
	one := bucket(t, p.members[0], cfg).streamConfig()
	one.Replicas = 1
	stream, err := p.members[0].js.CreateStream(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	var left []*Bus
	for i, b := range p.members {
		if b.Node() == stream.CachedInfo().Cluster.Leader {
			p.stop(i)
			continue
		}
		left = append(left, b)
	}
	if len(left) != 2 {
		t.Fatalf("%q leads, which is nobody", stream.CachedInfo().Cluster.Leader)
	}
	changes := make(chan Change, 1000)
	go bucket(t, left[1], cfg).Watch(t.Context(), "", func(c Change) { changes <- c })
	if c := next(t, changes); c.Op != Reset {
		t.Errorf("the first change is %v", c.Op)
	}
	eventually(t, "write", func() error { return errOf(bucket(t, left[0], cfg).Put(t.Context(), "a", []byte("x"), 0)) })
	sawPut(t, changes, "a")
}
