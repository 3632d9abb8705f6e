package avedge_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/avedge"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/stun"
	"parley/internal/xmldoc/mras"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, avedge.Spec) }

var specs = []service.Spec{web.Spec, avedge.Spec, registrar.Spec}

// request is a SERVICE request of a phone.
func request(p *servicetest.Phone, to, body string) *phone.Message {
	m := p.Request("SERVICE", to, to, phone.Header{Name: "Content-Type", Value: mras.MediaType})
	m.Body = body
	return m
}

func ask(identity string) string {
	return string((&mras.Request{ID: "17", To: identity, From: identity, Version: "1.0",
		Asks: []mras.Ask{{ID: "18", Identity: identity, Location: mras.Internet, Duration: time.Hour}}}).Append(nil))
}

// TestSIP: a client gets credentials, with which the relay gives it an address, in both dialects; and every refusal has its
// code and its reason.
func TestSIP(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: specs})
	n.AddUsers("alice", "bob")
	a := servicetest.Dial(t, n, "tcp", "alice")
	var given *mras.Response
	for _, to := range []string{"sip:alice@example.test", "sip:mras@server.example.test"} {
		m := a.Ask(200, request(a, to, ask("sip:Alice@example.test")))
		r, err := mras.ParseResponse([]byte(m.Body))
		if err != nil || r.Reason != mras.OK || r.Request.ID != "17" || len(r.Given) != 1 || r.Given[0].ID != "18" || r.Given[0].Duration != time.Hour {
			t.Fatalf("%s: %v\n%s", to, err, m)
		}
		given = r
	}
	g := given.Given[0]
	if len(g.Relays) != 1 || g.Relays[0].Host != "127.0.0.1" || g.Relays[0].UDP != n.Addr(porttable.CliTurn3478).Port() || g.Relays[0].TCP != n.Addr(porttable.CliTurn443).Port() {
		t.Errorf("relays %+v", g.Relays)
	}
	for name, d := range map[string]stun.Dialect{"RFC 8656": stun.RFC, "MS-TURN": stun.MSTURN} {
		c, err := net.Dial("udp", n.Addr(porttable.CliTurn3478).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if code := allocate(t, c, d, g.Username, g.Password, func(b []byte) []byte { return b }, plain); code != 0 {
			t.Errorf("%s: Allocate is refused with %d", name, code)
		}
	}
	long := strings.Replace(ask("sip:alice@example.test"), "<request ", "<request x='"+strings.Repeat("x", mras.MaxRequest)+"' ", 1)
	for _, x := range []struct {
		code   int
		reason mras.Reason
		body   string
	}{
		{403, mras.Forbidden, ask("sip:bob@example.test")},
		{400, mras.Malformed, "<request/>"},
		{400, mras.Malformed, ask("no address")},
		{505, mras.VersionMismatch, strings.Replace(ask("sip:alice@example.test"), `version="1.0"`, `version="9.0"`, 1)},
		{413, mras.TooLarge, long},
	} {
		m := a.Ask(x.code, request(a, "sip:alice@example.test", x.body))
		if r, err := mras.ParseResponse([]byte(m.Body)); err != nil || r.Reason != x.reason {
			t.Errorf("%d: %v\n%s", x.code, err, m)
		}
	}
	other := request(a, "sip:mras@server.example.test", "x")
	other.Set("Content-Type", "text/plain")
	a.Ask(415, other)
}

// plain reads a message of STUN, which says its own length.
func plain(c io.Reader) ([]byte, error) {
	b := make([]byte, 1500)
	if u, ok := c.(*net.UDPConn); ok {
		n, err := u.Read(b)
		return b[:n], err
	}
	if _, err := io.ReadFull(c, b[:20]); err != nil {
		return nil, err
	}
	n := 20 + int(binary.BigEndian.Uint16(b[2:]))
	_, err := io.ReadFull(c, b[20:n])
	return b[:n], err
}

// allocate asks for a relay address and returns the code of the refusal, 0 for none.
func allocate(t *testing.T, c net.Conn, d stun.Dialect, username, password string, frame func([]byte) []byte, read func(io.Reader) ([]byte, error)) int {
	t.Helper()
	c.SetDeadline(time.Now().Add(time.Minute))
	realmAttr, nonceAttr := stun.Realm, stun.Nonce
	if d == stun.MSTURN {
		realmAttr, nonceAttr = stun.MSRealm, stun.MSNonce
		u, _ := base64.StdEncoding.DecodeString(username)
		p, _ := base64.StdEncoding.DecodeString(password)
		username, password = string(u), string(p)
	}
	var nonce, realm string
	for n := range byte(2) {
		b := stun.Start(nil, stun.AllocateRequest, stun.NewID([16]byte{9: n}, d), d)
		if d == stun.MSTURN {
			b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
		} else {
			b.AddUint32(stun.RequestedTransport, 17<<24)
		}
		var key []byte
		if nonce != "" {
			b.AddString(stun.Username, username)
			b.AddString(realmAttr, realm)
			b.AddString(nonceAttr, nonce)
			key = stun.LongTermKey(username, realm, password)
		}
		if _, err := c.Write(frame(b.Finish(key, false))); err != nil {
			t.Fatal(err)
		}
		got, err := read(c)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stun.Parse(got, d)
		if err != nil {
			t.Fatalf("%v: %x", err, got)
		}
		if n == 1 || m.Code() != 401 {
			return m.Code()
		}
		x, _ := m.Get(nonceAttr)
		y, _ := m.Get(realmAttr)
		nonce, realm = string(x), string(y)
	}
	return -1
}

// site asks the web site of a node.
func site(t *testing.T, n *nodetest.Node, row, path, user string, alpn ...string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: alpn}, ForceAttemptHTTP2: len(alpn) > 0}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+n.Addr(row).String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, nodetest.Password)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestHTTPS: credentials in the customary form, behind the login.
func TestHTTPS(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: specs})
	n.AddUsers("alice")
	if resp, _ := site(t, n, porttable.SrvFeWebcompat443, "/turn", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a login: %s", resp.Status)
	}
	resp, body := site(t, n, porttable.SrvFeWebcompat443, "/turn", "alice@example.test")
	var c struct {
		Username, Password string
		TTL                int
		URIs               []string
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil || resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v %s", resp.Status, err, body)
	}
	if !strings.HasSuffix(c.Username, ":alice@example.test") || c.TTL != 8*3600 || len(c.URIs) != 3 || !strings.HasPrefix(c.URIs[0], "turn:127.0.0.1:") {
		t.Errorf("got %+v", c)
	}
	conn, err := net.Dial("udp", n.Addr(porttable.CliTurn3478).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code := allocate(t, conn, stun.RFC, c.Username, c.Password, func(b []byte) []byte { return b }, plain); code != 0 {
		t.Errorf("Allocate is refused with %d", code)
	}
}

// TestDoor: on one port the web site, with HTTP/2 and without any agreement, and the relay in all its coats.
func TestDoor(t *testing.T) {
	opt := node.Options{Specs: specs, Listen: nodetest.FreePorts(specs)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	opt.Listen[porttable.SrvFeWebcompat443], opt.Listen[porttable.CliTurn443] = at, at
	n := nodetest.Start(t, nodetest.Dir(t), opt)
	n.AddUsers("alice")
	for want, alpn := range map[string][]string{"HTTP/2.0": {"h2", "http/1.1"}, "HTTP/1.1": nil} {
		if resp, body := site(t, n, porttable.SrvFeWebcompat443, "/turn", "alice@example.test", alpn...); resp.StatusCode != 200 || resp.Proto != want {
			t.Errorf("%s: %s %s", want, resp.Proto, body)
		}
	}
	a := servicetest.Dial(t, n, "tcp", "alice")
	r, err := mras.ParseResponse([]byte(a.Ask(200, request(a, "sip:alice@example.test", ask("sip:alice@example.test"))).Body))
	if err != nil {
		t.Fatal(err)
	}
	g := r.Given[0]
	same := func(b []byte) []byte { return b }
	dial := func() net.Conn {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	if code := allocate(t, dial(), stun.RFC, g.Username, g.Password, same, plain); code != 0 {
		t.Errorf("plain TCP: %d", code)
	}
	for _, alpn := range [][]string{nil, {"stun.turn"}} {
		c := tls.Client(dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: alpn})
		if code := allocate(t, c, stun.RFC, g.Username, g.Password, same, plain); code != 0 {
			t.Errorf("TLS, %v: %d", alpn, code)
		}
	}
	framed := func(b []byte) []byte {
		return append([]byte{2, 0, byte(len(b) >> 8), byte(len(b))}, b...)
	}
	unframed := func(c io.Reader) ([]byte, error) {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return nil, err
		}
		b := make([]byte, binary.BigEndian.Uint16(head[2:]))
		_, err := io.ReadFull(c, b)
		return b, err
	}
	hello := append([]byte("\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01"), bytes.Repeat([]byte{0xAB}, 32)...)
	hello = append(hello, "\x00\x00\x02\x00\x18\x01\x00"...)
	for _, pseudo := range []bool{false, true} {
		c := dial()
		if pseudo {
			c.Write(hello)
			answer := make([]byte, 83)
			if _, err := io.ReadFull(c, answer); err != nil || !bytes.HasPrefix(answer, []byte("\x16\x03\x01\x00\x4e\x02\x00\x00\x46\x03\x01")) {
				t.Fatalf("%v: %x", err, answer)
			}
		}
		if code := allocate(t, c, stun.MSTURN, g.Username, g.Password, framed, unframed); code != 0 {
			t.Errorf("Lync, imitation of TLS %v: %d", pseudo, code)
		}
	}
	// Anything else is closed.
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x05\x01\x00", "\x80\x46\x01\x03\x01", "\x02\x09\x00\x01x"} {
		c := dial()
		c.Write([]byte(text))
		c.SetDeadline(time.Now().Add(time.Minute))
		if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("%q is answered", text)
		} else if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Errorf("%q is kept open", text)
		}
	}
}
