package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/plan"
	"parley/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func planned(t *testing.T, name string) *plan.Plan {
	t.Helper()
	s, err := topology.Load("../../examples/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	return plan.Resolve(s)
}

func from(t *testing.T, p *plan.Plan, zone, addr string) Vantage {
	t.Helper()
	z, ok := p.Topology.Zone(zone)
	if !ok {
		t.Fatalf("no zone %s", zone)
	}
	return Vantage{z, netip.MustParseAddr(addr)}
}

func TestSelectFromOutside(t *testing.T) {
	p := planned(t, "remote")
	probes := Select(p, from(t, p, "outside", "203.0.113.9"), Options{Denied: 3})
	var got []string
	denied := 0
	for _, x := range probes {
		if !x.Allowed {
			denied++
			if len(x.Rules) == 0 || len(x.Rules[0].Rules) > 0 {
				t.Errorf("nothing stops %+v", x)
			}
			continue
		}
		if len(x.Rules) == 0 || x.Rules[0].Firewall != "outer-perimeter" || len(x.Rules[0].Rules) == 0 {
			t.Errorf("no rule lets %+v through", x)
		}
		got = append(got, strings.Join([]string{x.Address.String(), x.Transport, netip.AddrPortFrom(x.Address, x.Port).String(), string(x.Method)}, " "))
	}
	for _, want := range []string{"192.0.2.2 tcp 192.0.2.2:5061 sips", "192.0.2.2 udp 192.0.2.2:3478 stun", "192.0.2.3 tcp 192.0.2.3:443 https",
		"192.0.2.3 tcp 192.0.2.3:80 http", "192.0.2.2 tcp 192.0.2.2:443 tls"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not probed: %q", want, got)
		}
	}
	if denied == 0 {
		t.Error("nothing that is not allowed is sampled")
	}
	for _, x := range probes {
		if strings.HasPrefix(x.Address.String(), "10.0.") && x.Allowed {
			t.Errorf("the outside may reach %s", x.Address)
		}
	}
	if some := Select(p, from(t, p, "outside", "203.0.113.9"), Options{Hosts: []string{"proxy.example.test"}}); len(some) != 2 {
		t.Errorf("two ports of the proxy, got %v", some)
	}
}

func TestSelectInside(t *testing.T) {
	p := planned(t, "remote")
	client := Select(p, from(t, p, "inside", "10.0.3.4"), Options{})
	server := Select(p, from(t, p, "inside", "10.0.0.11"), Options{})
	has := func(list []Probe, row string) bool {
		return slices.ContainsFunc(list, func(x Probe) bool { return slices.Contains(x.Rows, row) })
	}
	if !has(client, "srv-fe-frontend-5061") || has(client, "edge-int-auth-5062") || !has(server, "edge-int-auth-5062") {
		t.Error("clients and servers are not told apart")
	}
	for _, x := range server {
		if x.Address == netip.MustParseAddr("10.0.0.11") {
			t.Errorf("a server probes itself: %+v", x)
		}
	}
}

// servers are one of each kind on loopback.
func listen(t *testing.T, serve func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func certificate(t *testing.T, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.example.test"}, DNSNames: []string{"server.example.test"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func sipServer(c net.Conn) {
	buf := make([]byte, 2048)
	n, _ := c.Read(buf)
	if bytes.HasPrefix(buf[:n], []byte("OPTIONS sip:")) {
		c.Write([]byte("SIP/2.0 483 Too Many Hops\r\n\r\n"))
	}
}

func TestRun(t *testing.T) {
	good, old := certificate(t, time.Now().Add(24*time.Hour)), certificate(t, time.Now().Add(-24*time.Hour))
	over := func(cert tls.Certificate, serve func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { serve(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})) }
	}
	web := func(c net.Conn) {
		buf := make([]byte, 2048)
		c.Read(buf)
		resp := http.Response{StatusCode: 404, ProtoMajor: 1, ProtoMinor: 1, Close: true}
		resp.Write(c)
	}
	noise := func(c net.Conn) { c.Write([]byte("220 mail ready\r\n")) }
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echo := make(chan struct{})
	go func() {
		defer close(echo)
		buf := make([]byte, 1500)
		for {
			n, a, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[0], buf[1] = 1, 1
			udp.WriteTo(buf[:n], a)
		}
	}()
	t.Cleanup(func() { udp.Close(); <-echo })
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	port := func(c net.PacketConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }
	gone := listen(t, sipServer)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := closed.Addr().(*net.TCPAddr).AddrPort().Port()
	closed.Close()

	roots := x509.NewCertPool()
	roots.AddCert(good.Leaf)
	for _, tt := range []struct {
		name      string
		method    Method
		transport string
		port      uint16
		way       bool
		denied    bool
		outcome   Outcome
		failed    bool
		reason    string
	}{
		{"connect", Connect, "tcp", gone, false, false, Open, false, ""},
		{"sip", SIP, "tcp", listen(t, sipServer), false, false, Open, false, ""},
		{"sip that is none", SIP, "tcp", listen(t, noise), false, false, Faulty, true, "220 mail"},
		{"sip over tls", SIPS, "tcp", listen(t, over(good, sipServer)), false, false, Open, false, ""},
		{"old certificate", SIPS, "tcp", listen(t, over(old, sipServer)), false, false, Faulty, true, "out of date"},
		{"no tls", TLS, "tcp", listen(t, noise), false, false, Faulty, true, "TLS"},
		{"web", HTTP, "tcp", listen(t, web), false, false, Open, false, ""},
		{"web over tls", HTTPS, "tcp", listen(t, over(good, web)), false, false, Open, false, ""},
		{"stun", STUN, "udp", port(udp), false, false, Open, false, ""},
		{"stun without answer", STUN, "udp", port(mute), false, false, Silent, true, "no answer"},
		{"udp without answer", Connect, "udp", port(mute), true, false, Unknown, false, ""},
		{"nobody listens", Connect, "tcp", refuses, false, false, Closed, true, "nothing listens"},
		{"media, nobody listens", Connect, "tcp", refuses, true, false, Closed, false, ""},
		{"open and not allowed", Connect, "tcp", gone, false, true, Open, true, "no rule allows it"},
		{"refused and not allowed", Connect, "tcp", refuses, false, true, Closed, true, "no rule allows it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Runner{Timeout: 5 * time.Second, Roots: roots}
			if tt.port == port(mute) {
				r.Timeout = 50 * time.Millisecond
			}
			results := r.Run(context.Background(), []Probe{{Host: "server.example.test", Address: netip.MustParseAddr("127.0.0.1"), Transport: tt.transport,
				Port: tt.port, Method: tt.method, Allowed: !tt.denied, WayOnly: tt.way, Rules: []Crossing{{"outer", []string{"r001"}, "r001 row"}}}}, nil)
			got := results[0]
			if got.Outcome != tt.outcome || got.Failed() != tt.failed || !strings.Contains(got.Reason(), tt.reason) {
				t.Errorf("%s, failed %v: %q (%s)", got.Outcome, got.Failed(), got.Reason(), got.Detail)
			}
		})
	}
}

func TestRemark(t *testing.T) {
	for want, r := range map[string]Result{
		"the way is open; this version has nothing there yet": {Probe: Probe{Allowed: true, NotYet: true}, Outcome: Closed},
		"the way is open; nothing listens just now":           {Probe: Probe{Allowed: true, WayOnly: true}, Outcome: Closed},
		"the way is open and nothing listens":                 {Probe: Probe{Allowed: true}, Outcome: Closed},
		"nobody has to answer":                                {Probe: Probe{Allowed: true}, Outcome: Unknown},
	} {
		if got := r.Remark(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}

// TestItself lets a server ask its own services, which it does not without being told.
func TestItself(t *testing.T) {
	p := planned(t, "small")
	here := from(t, p, "office", "192.168.10.5")
	asks := func(opt Options) bool {
		return slices.ContainsFunc(Select(p, here, opt), func(x Probe) bool { return x.Address == here.Address && x.Port == 5061 && x.Allowed })
	}
	if asks(Options{}) || !asks(Options{Itself: true}) {
		t.Error("a server and its own services")
	}
}

func TestReasonNamesTheRule(t *testing.T) {
	r := Result{Probe: Probe{Allowed: true, Rules: []Crossing{{"outer-dmz", []string{"r003"}, "r003 cli-turn-443"}, {"host-edge", []string{"r001"}, "r001 cli-turn-443"}}}, Outcome: Silent}
	if got := r.Reason(); got != "no answer: is rule r003 cli-turn-443 on outer-dmz, or rule r001 cli-turn-443 on host-edge, missing?" {
		t.Error(got)
	}
}

func TestReports(t *testing.T) {
	results := []Result{
		{Probe: Probe{Rows: []string{"row-a"}, Host: "b.example.test", Address: netip.MustParseAddr("192.0.2.1"), Transport: "tcp", Port: 443, Method: TLS, Allowed: true}, Outcome: Open},
		{Probe: Probe{Host: "a.example.test", Address: netip.MustParseAddr("192.0.2.2"), Transport: "tcp", Port: 22, Method: Connect, Rules: []Crossing{{Firewall: "outer"}}}, Outcome: Open},
	}
	Sort(results)
	if !results[0].Failed() {
		t.Error("failures do not come first")
	}
	var b bytes.Buffer
	if err := Table(&b, results); err != nil || !strings.Contains(b.String(), "2 probes, 1 failed") || !strings.Contains(b.String(), "outer should stop it") {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := JUnit(&b, "zone outside", results); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil || suite.Tests != 2 || suite.Failures != 1 {
		t.Errorf("%v %+v\n%s", err, suite, b.String())
	}
	b.Reset()
	if err := JSON(&b, results); err != nil || !strings.Contains(b.String(), `"failed": true`) {
		t.Errorf("%v\n%s", err, b.String())
	}
}
