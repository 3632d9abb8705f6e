package flow

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a Handler that answers 200 to every request and remembers what happened.
type echo struct {
	open    func(*Flow) error
	message atomic.Pointer[func(*Flow, *sip.Message)] // see on
	gone    chan error                                // what Closed was called with
	opened  chan *Flow
	bad     chan error
}

func newEcho() *echo {
	return &echo{gone: make(chan error, 1024), opened: make(chan *Flow, 1024), bad: make(chan error, 1024)}
}

// on sets what is done with messages instead.
func (e *echo) on(fn func(*Flow, *sip.Message)) { e.message.Store(&fn) }

func (e *echo) Open(f *Flow) error {
	if e.open != nil {
		if err := e.open(f); err != nil {
			return err
		}
	}
	offer(e.opened, f)
	return nil
}

func (e *echo) Message(f *Flow, m *sip.Message) {
	if fn := e.message.Load(); fn != nil {
		(*fn)(f, m)
		return
	}
	answer(f, m, 200)
}

func (e *echo) Malformed(f *Flow, m *sip.Message, err error) {
	var se *sip.Error
	if m != nil && m.IsRequest() && errors.As(err, &se) {
		answer(f, m, se.Code)
	}
	offer(e.bad, err)
}

func (e *echo) Closed(_ *Flow, err error) { offer(e.gone, err) }

func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

var scratch = sync.Pool{New: func() any { return new([4096]byte) }}

func answer(f *Flow, m *sip.Message, code int) {
	buf := scratch.Get().(*[4096]byte)
	f.Send(sip.AppendResponse(buf[:0], m, code, "", "tag"))
	scratch.Put(buf)
}

// newLayer returns a layer with handler h that is closed at the end of the test.
func newLayer(t testing.TB, h Handler, change func(*Config)) *Layer {
	t.Helper()
	c := Config{Handler: h, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	l := New(c)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := len(l.Flows()); n != 0 {
			t.Errorf("%d flows are left after Close", n)
		}
	})
	return l
}

func listen(t testing.TB, l *Layer, tr Transport, change func(*ListenSpec)) *Listener {
	t.Helper()
	spec := ListenSpec{Row: "test", Transport: tr, Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	if tr.Secure() {
		spec.TLS = serverTLS()
	}
	if change != nil {
		change(&spec)
	}
	ln, err := l.Listen(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// request returns an OPTIONS request whose CSeq tells it from others.
func request(tr Transport, seq int, body string) []byte {
	return fmt.Appendf(nil, "OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/%s client.example.test;branch=z9hG4bK%d;rport\r\n"+
		"Max-Forwards: 70\r\nFrom: <sip:alice@example.test>;tag=a\r\nTo: <sip:example.test>\r\nCall-ID: c@client\r\n"+
		"CSeq: %d OPTIONS\r\nContent-Length: %d\r\n\r\n%s", tr, seq, seq, len(body), body)
}

// client reads messages from a stream.
type client struct {
	net.Conn
	t     testing.TB
	buf   []byte
	frame sip.Framer
}

func dial(t testing.TB, ln *Listener) *client {
	t.Helper()
	var c net.Conn
	var err error
	network := "tcp"
	if ln.Transport() == UDP {
		network = "udp"
	}
	c, err = net.Dial(network, ln.Addr().String())
	if err == nil && ln.Transport().Secure() {
		tc := tls.Client(c, clientTLS())
		err = tc.Handshake()
		c = tc
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // only so that a failure ends
	return &client{Conn: c, t: t}
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message or keep-alive, or nil at the end of the stream.
func (c *client) next() []byte {
	c.t.Helper()
	if _, ok := c.RemoteAddr().(*net.UDPAddr); ok {
		b := make([]byte, 65536)
		n, err := c.Read(b)
		if err != nil {
			c.t.Fatal(err)
		}
		return b[:n]
	}
	for {
		n, kind, err := c.frame.Next(c.buf, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if kind != sip.NeedMore {
			b := bytes.Clone(c.buf[:n])
			c.buf = c.buf[n:]
			return b
		}
		b := make([]byte, 64<<10)
		got, err := c.Read(b)
		if got == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			c.t.Fatal(err)
		}
		c.buf = append(c.buf, b[:got]...)
	}
}

// expect reads a response and checks its code and CSeq.
func (c *client) expect(code, seq int) {
	c.t.Helper()
	b := c.next()
	var m sip.Message
	if err := m.Parse(b, nil); err != nil {
		c.t.Fatalf("%v in %q", err, b)
	}
	n, _ := m.CSeq()
	if m.StatusCode() != code || int(n) != seq {
		c.t.Fatalf("got %d with CSeq %d, want %d with %d", m.StatusCode(), n, code, seq)
	}
}

// authority is a CA made once for all tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

var testCA = sync.OnceValue(func() *authority {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	c, _ := x509.ParseCertificate(der)
	a := &authority{c, key, x509.NewCertPool()}
	a.pool.AddCert(c)
	return a
})

// issue makes a certificate; names that begin with "sip:" become URIs.
func (a *authority) issue(cn string, names ...string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if u, err := url.Parse(n); err == nil && u.Scheme != "" {
			tmpl.URIs = append(tmpl.URIs, u)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

var serverCert = sync.OnceValue(func() tls.Certificate { return testCA().issue("proxy.example.test", "proxy.example.test") })

func serverTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{serverCert()}, SessionTicketsDisabled: true,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: testCA().pool,
	}
}

func clientTLS() *tls.Config {
	return &tls.Config{RootCAs: testCA().pool, ServerName: "proxy.example.test"}
}

// receive takes a value that is due soon.
func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
	}
	return v
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// eventually waits until ok reports true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// skip skips a test for something this machine lacks, which a machine that runs all tests must not.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("PARLEY_CI") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
