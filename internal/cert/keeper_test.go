package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func uris(t *testing.T, texts ...string) []*url.URL {
	t.Helper()
	var out []*url.URL
	for _, s := range texts {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

// clock is a time that tests move.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.Load()).UTC() }

func newKeeper(t *testing.T, ca *CA, want *Request) (*Keeper, string, *clock) {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	c.Store(t0.UnixNano())
	k, err := Open(Options{DataDir: dir, Want: func() Request { return *want }, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return k, dir, c
}

func TestKeeperRenews(t *testing.T) {
	want := Request{Names: []string{"server.example.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	k, dir, clock := newKeeper(t, newCA(t), &want)
	first := k.Leaf()
	if !slices.Equal(first.DNSNames, want.Names) || len(first.IPAddresses) != 1 {
		t.Fatalf("issued for %v %v", first.DNSNames, first.IPAddresses)
	}
	if info, err := os.Stat(filepath.Join(dir, "certs", "node.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	check := func() *x509.Certificate {
		t.Helper()
		if err := k.Check(); err != nil {
			t.Fatal(err)
		}
		return k.Leaf()
	}
	if check() != first {
		t.Error("issued again without a reason")
	}
	want.Names = append(want.Names, "meet.example.test")
	second := check()
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || !slices.Contains(second.DNSNames, "meet.example.test") {
		t.Error("a missing name was not added")
	}
	clock.Store(t0.Add(NodeLife*2/3 - 24*time.Hour).UnixNano())
	if check() != second {
		t.Error("renewed too early")
	}
	clock.Store(t0.Add(NodeLife * 2 / 3).UnixNano())
	third := check()
	if third == second || !third.NotAfter.Equal(clock.now().Add(NodeLife)) {
		t.Errorf("not renewed when due: until %v", third.NotAfter)
	}
	// A crash between the two writes leaves a key without its certificate.
	other, _ := newKey()
	if err := writeKey(filepath.Join(dir, "certs", "node.key"), other); err != nil {
		t.Fatal(err)
	}
	if check() == third {
		t.Error("a pair that does not match was kept")
	}
}

func TestKeeperWithoutCAKey(t *testing.T) {
	want := Request{Names: []string{"server.example.test"}}
	k, dir, clock := newKeeper(t, newCA(t), &want)
	if err := os.Remove(filepath.Join(dir, "ca", "ca.key")); err != nil {
		t.Fatal(err)
	}
	want.Names = append(want.Names, "meet.example.test")
	clock.Store(t0.Add(NodeLife - time.Hour).UnixNano())
	leaf := k.Leaf()
	if err := k.Check(); err != nil || k.Leaf() != leaf {
		t.Errorf("a member that cannot issue: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "certs", "node.crt")); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(); err == nil || k.Leaf() != leaf {
		t.Errorf("a missing certificate: %v; what was loaded must stay", err)
	}
}

func TestKeeperForeignCertificate(t *testing.T) {
	want := Request{Names: []string{"server.example.test"}}
	k, dir, _ := newKeeper(t, newCA(t), &want)
	if err := IssueNode(dir, newCA(t), Request{Names: []string{"other.example.test"}}, t0); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(); err != nil || k.Leaf().DNSNames[0] != "other.example.test" {
		t.Errorf("a certificate of another authority is replaced: %v, %v", k.Leaf().DNSNames, err)
	}
}

func TestKeyReadableByOthers(t *testing.T) {
	want := Request{Names: []string{"server.example.test"}}
	k, dir, _ := newKeeper(t, newCA(t), &want)
	key := filepath.Join(dir, "certs", "node.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(key, now, now); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("got %v", err)
	}
}

// handshake connects over a pipe and returns what each side says. The server sends one byte, so that a
// client of TLS 1.3 hears of a refused certificate.
func handshake(server, client *tls.Config) (fromServer, fromClient *tls.ConnectionState, serverErr, clientErr error) {
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	if clientErr != nil {
		b.Close()
	}
	serverErr = <-done
	a.Close()
	b.Close()
	ss, cs := s.ConnectionState(), c.ConnectionState()
	return &ss, &cs, serverErr, clientErr
}

func TestHandshakes(t *testing.T) {
	ca, foreign := newCA(t), newCA(t)
	topo := enterprise(t)
	wantServer := Request{Names: []string{"pool01.example.test", "fe01.example.test"}}
	wantPeer := Request{Names: []string{"pool01.example.test", "fe02.example.test"}}
	server, _, _ := newKeeper(t, ca, &wantServer)
	peer, _, _ := newKeeper(t, ca, &wantPeer)
	stranger, _, _ := newKeeper(t, foreign, &wantPeer)
	phone := &tls.Config{RootCAs: pool(ca), ServerName: "fe01.example.test", Time: server.now}

	for _, auth := range []ClientAuth{NoClientCert, AskClientCert} {
		st, _, err, cerr := handshake(server.Server(auth), phone)
		if err != nil || cerr != nil || len(st.PeerCertificates) != 0 {
			t.Errorf("a phone without a certificate, %d: %v, %v", auth, err, cerr)
		}
		if _, err := server.Identify(st.PeerCertificates, topo); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err, _ := handshake(server.Server(RequireClientCert), phone); err == nil {
		t.Error("a port for servers only takes a peer without a certificate")
	}
	for _, auth := range []ClientAuth{AskClientCert, RequireClientCert} {
		st, cst, err, cerr := handshake(server.Server(auth), peer.Client("fe01.example.test"))
		if err != nil || cerr != nil {
			t.Fatalf("a server of the pool: %v, %v", err, cerr)
		}
		if p, err := server.Identify(st.PeerCertificates, topo); err != nil || p.Name != "fe02.example.test" {
			t.Errorf("identified as %+v, %v", p, err)
		}
		if p, err := peer.IdentifyServer("fe01.example.test", cst.PeerCertificates, topo); err != nil || p.Name != "fe01.example.test" {
			t.Errorf("the other way round: %+v, %v", p, err)
		}
	}
	// A certificate of another CA is not quietly ignored.
	bad := stranger.Client("fe01.example.test")
	bad.RootCAs = pool(ca)
	if _, _, err, _ := handshake(server.Server(AskClientCert), bad); err == nil {
		t.Error("a foreign certificate was taken for none")
	}
	// A server of another deployment is refused by the one who connects.
	if _, _, _, err := handshake(stranger.Server(AskClientCert), peer.Client("fe02.example.test")); err == nil {
		t.Error("connected to a server of another CA")
	}
	if _, _, _, err := handshake(server.Server(AskClientCert), peer.Client("fe03.example.test")); err == nil {
		t.Error("connected to a server of another name")
	}
	// Phones that were given an address.
	withAddress := Request{Names: []string{"fe01.example.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}
	k, _, _ := newKeeper(t, ca, &withAddress)
	for _, name := range []string{"127.0.0.1", "::1"} {
		phone.ServerName = name
		if _, _, err, cerr := handshake(k.Server(AskClientCert), phone); err != nil || cerr != nil {
			t.Errorf("by address %s: %v, %v", name, err, cerr)
		}
	}
}

// TestNewCertificateWithoutRestart keeps one listener configuration through a renewal.
func TestNewCertificateWithoutRestart(t *testing.T) {
	ca := newCA(t)
	want := Request{Names: []string{"fe01.example.test"}}
	k, dir, _ := newKeeper(t, ca, &want)
	config := k.Server(AskClientCert)
	phone := &tls.Config{RootCAs: pool(ca), ServerName: "meet.example.test", Time: k.now}
	if _, _, _, err := handshake(config, phone); err == nil {
		t.Fatal("the certificate already has the name")
	}
	want.Names = append(want.Names, "meet.example.test")
	if err := k.Check(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := handshake(config, phone); err != nil {
		t.Errorf("after renewal: %v", err)
	}
	// Another authority's certificate for one name, put beside the node's.
	public, _ := NewCA("Public CA", t0)
	key, _ := newKey()
	c, err := public.Issue(Request{Names: []string{"*.example.org"}}, key.Public(), t0, NodeLife)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeKey(filepath.Join(dir, "certs", "public.key"), key), writeCertificates(filepath.Join(dir, "certs", "public.crt"), c), k.Check()); err != nil {
		t.Fatal(err)
	}
	browser := &tls.Config{RootCAs: pool(public), ServerName: "meet.example.org", Time: k.now}
	if _, _, _, err := handshake(config, browser); err != nil {
		t.Errorf("a public name: %v", err)
	}
	if _, _, _, err := handshake(config, phone); err != nil {
		t.Errorf("the node's own name: %v", err)
	}
}

// TestNewRootWithoutRestart adds a second CA to the file of trusted ones while a listener is open.
func TestNewRootWithoutRestart(t *testing.T) {
	ca, next := newCA(t), newCA(t)
	want := Request{Names: []string{"fe01.example.test"}}
	wantPeer := Request{Names: []string{"fe02.example.test"}}
	server, dir, _ := newKeeper(t, ca, &want)
	peer, _, _ := newKeeper(t, next, &wantPeer)
	config := server.Server(RequireClientCert)
	client := peer.Client("fe01.example.test")
	client.RootCAs = pool(ca)
	if _, _, err, _ := handshake(config, client); err == nil {
		t.Fatal("an unknown CA is trusted")
	}
	if err := writeCertificates(filepath.Join(dir, "ca", "ca.crt"), ca.Cert, next.Cert); err != nil {
		t.Fatal(err)
	}
	if err := server.Check(); err != nil {
		t.Fatal(err)
	}
	if _, _, err, cerr := handshake(config, client); err != nil || cerr != nil {
		t.Errorf("after the second CA became trusted: %v, %v", err, cerr)
	}
	if n := len(server.CACertificates()); n != 2 {
		t.Errorf("%d CA certificates", n)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	want := Request{Names: []string{"server.example.test"}}
	k, _, _ := newKeeper(t, newCA(t), &want)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	cancel()
	<-done
}
