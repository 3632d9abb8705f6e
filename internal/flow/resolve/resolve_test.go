package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"parley/internal/flow"
	"parley/internal/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is what the test's name server knows.
const zone = `
full.test.            60 NAPTR 20 50 "s" "SIP+D2U"  "" _sip._udp.full.test.
full.test.            60 NAPTR 10 60 "s" "SIP+D2T"  "" _sip._tcp.full.test.
full.test.            60 NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.full.test.
full.test.            60 NAPTR 5  1  "s" "SIP+D2S"  "" _sip._sctp.full.test.
full.test.            60 NAPTR 1  1  "u" "E2U+sip"  "!^.*$!sip:x@full.test!" .
_sips._tcp.full.test. 60 SRV 10 0 5061 b.full.test.
_sips._tcp.full.test. 60 SRV 5  0 5071 a.full.test.
_sip._tcp.full.test.  60 SRV 5  0 5060 a.full.test.
_sip._udp.full.test.  60 SRV 5  0 5060 a.full.test.
a.full.test.          60 A 192.0.2.1
a.full.test.          60 AAAA 2001:db8::1
b.full.test.          60 A 192.0.2.2
srv.test.             60 A 192.0.2.9
_sip._udp.srv.test.   60 SRV 1 0 5080 a.full.test.
_sip._tcp.srv.test.   60 SRV 1 0 5090 a.full.test.
plain.test.           60 A 192.0.2.3
plain.test.           60 AAAA 2001:db8::3
alias.test.           60 CNAME plain.test.
alias.test.           60 A 192.0.2.3
off.test.             60 A 192.0.2.4
_sip._udp.off.test.   60 SRV 0 0 0 .
_sip._tcp.off.test.   60 SRV 0 0 0 .
_sips._tcp.off.test.  60 SRV 0 0 0 .
dangling.test.        60 NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.gone.test.
big.test.             60 A 192.0.2.5
quick.test.           1  A 192.0.2.6
`

// server is a DNS server on loopback.
type server struct {
	addr string
	mu   sync.Mutex
	rrs  map[question][]dns.RR
	asks atomic.Int64
	fail atomic.Int32                  // an Rcode to answer with
	wait atomic.Pointer[chan struct{}] // answers come when it is closed
}

func newServer(t *testing.T) *server {
	s := &server{rrs: map[question][]dns.RR{}}
	z := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		h := rr.Header()
		q := question{h.Name, h.Rrtype}
		s.rrs[q] = append(s.rrs[q], rr)
	}
	if err := z.Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 200 { // more than a datagram holds
		rr, _ := dns.NewRR(fmt.Sprintf("big.test. 60 A 198.51.100.%d", i))
		s.rrs[question{"big.test.", dns.TypeA}] = append(s.rrs[question{"big.test.", dns.TypeA}], rr)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = pc.LocalAddr().String()
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: ln, Handler: s}} {
		up := make(chan struct{})
		d.NotifyStartedFunc = func() { close(up) }
		go d.ActivateAndServe()
		<-up
		t.Cleanup(func() { d.Shutdown() })
	}
	return s
}

func (s *server) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	s.asks.Add(1)
	if w := s.wait.Load(); w != nil {
		<-*w
	}
	r := new(dns.Msg)
	r.SetReply(m)
	r.Rcode = int(s.fail.Load())
	s.mu.Lock()
	name := strings.ToLower(m.Question[0].Name)
	r.Answer = append(r.Answer, s.rrs[question{name, m.Question[0].Qtype}]...)
	s.mu.Unlock()
	if len(r.Answer) == 0 && r.Rcode == 0 {
		r.Rcode = dns.RcodeNameError
	}
	if w.LocalAddr().Network() == "udp" {
		r.Truncate(512)
	}
	w.WriteMsg(r)
}

func resolver(t *testing.T, s *server, change func(*Config)) *Resolver {
	c := Config{Servers: []string{s.addr}, Hosts: "-", Timeout: time.Second, Rand: func(int) int { return 0 }}
	if change != nil {
		change(&c)
	}
	return New(c)
}

func parse(t *testing.T, s string) (u sip.URI) {
	t.Helper()
	if err := sip.ParseURI([]byte(s), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestResolve goes through the cases of RFC 3263 sections 4.1 and 4.2.
func TestResolve(t *testing.T) {
	s := newServer(t)
	r := resolver(t, s, nil)
	tests := []struct {
		uri  string
		want string // targets, or an error
	}{
		{"sip:192.0.2.7", "UDP 192.0.2.7:5060 (192.0.2.7)"},
		{"sip:192.0.2.7:5070", "UDP 192.0.2.7:5070 (192.0.2.7)"},
		{"sip:[2001:db8::7]", "UDP [2001:db8::7]:5060 (2001:db8::7)"},
		{"sip:192.0.2.7;transport=tcp", "TCP 192.0.2.7:5060 (192.0.2.7)"},
		{"sip:192.0.2.7;transport=TLS", "TLS 192.0.2.7:5061 (192.0.2.7)"},
		{"sips:192.0.2.7", "TLS 192.0.2.7:5061 (192.0.2.7)"},
		{"sips:192.0.2.7;transport=tcp", "TLS 192.0.2.7:5061 (192.0.2.7)"},
		{"sips:192.0.2.7;transport=udp", "!" + ErrTransport.Error()},
		{"sip:192.0.2.7;transport=sctp", "!" + ErrTransport.Error()},
		{"sip:192.0.2.7;transport=ws", "!" + ErrTransport.Error()},
		{"tel:+15550100", "!" + ErrScheme.Error()},
		{"sip:somewhere.test;maddr=192.0.2.8", "UDP 192.0.2.8:5060 (192.0.2.8)"},
		// A port: addresses only.
		{"sip:srv.test:5062", "UDP 192.0.2.9:5062 (srv.test)"},
		{"sip:srv.test:5062;transport=tcp", "TCP 192.0.2.9:5062 (srv.test)"},
		{"sips:srv.test:5062", "TLS 192.0.2.9:5062 (srv.test)"},
		// A transport: SRV, then addresses.
		{"sip:full.test;transport=udp", "UDP 192.0.2.1:5060 (full.test), UDP [2001:db8::1]:5060 (full.test)"},
		{"sip:plain.test;transport=tcp", "TCP 192.0.2.3:5060 (plain.test), TCP [2001:db8::3]:5060 (plain.test)"},
		// NAPTR: by order, then preference; what we cannot speak is left out.
		{"sip:full.test", "TLS 192.0.2.1:5071 (full.test), TLS [2001:db8::1]:5071 (full.test), TLS 192.0.2.2:5061 (full.test), " +
			"TCP 192.0.2.1:5060 (full.test), TCP [2001:db8::1]:5060 (full.test), UDP 192.0.2.1:5060 (full.test), UDP [2001:db8::1]:5060 (full.test)"},
		{"sip:Full.TEST.", "TLS 192.0.2.1:5071 (full.test), TLS [2001:db8::1]:5071 (full.test), TLS 192.0.2.2:5061 (full.test), " +
			"TCP 192.0.2.1:5060 (full.test), TCP [2001:db8::1]:5060 (full.test), UDP 192.0.2.1:5060 (full.test), UDP [2001:db8::1]:5060 (full.test)"},
		{"sips:full.test", "TLS 192.0.2.1:5071 (full.test), TLS [2001:db8::1]:5071 (full.test), TLS 192.0.2.2:5061 (full.test)"},
		// No NAPTR: whichever SRV there are.
		{"sip:srv.test", "TCP 192.0.2.1:5090 (srv.test), TCP [2001:db8::1]:5090 (srv.test), UDP 192.0.2.1:5080 (srv.test), UDP [2001:db8::1]:5080 (srv.test)"},
		// sips does not fall back to what is not secure.
		{"sips:srv.test", "TLS 192.0.2.9:5061 (srv.test)"},
		// Neither: addresses, the default transport.
		{"sip:plain.test", "UDP 192.0.2.3:5060 (plain.test), UDP [2001:db8::3]:5060 (plain.test)"},
		{"sips:plain.test", "TLS 192.0.2.3:5061 (plain.test), TLS [2001:db8::3]:5061 (plain.test)"},
		{"sip:alias.test", "UDP 192.0.2.3:5060 (alias.test)"},
		{"sip:off.test", "!" + ErrUnavailable.Error()},
		{"sip:dangling.test", "!" + ErrNotFound.Error()},
		{"sip:nowhere.test", "!" + ErrNotFound.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.uri, func(t *testing.T) {
			ts, err := r.Resolve(t.Context(), parse(t, tt.uri))
			var texts []string
			for _, t := range ts {
				texts = append(texts, t.String())
			}
			got := strings.Join(texts, ", ")
			if want, isErr := strings.CutPrefix(tt.want, "!"); isErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %s, %v, want error %q", got, err, want)
				}
			} else if err != nil || got != tt.want {
				t.Errorf("got\n%s, %v, want\n%s", got, err, tt.want)
			}
		})
	}
}

func TestWithoutUDP(t *testing.T) {
	r := resolver(t, newServer(t), func(c *Config) { c.Transports = []flow.Transport{flow.TCP} })
	ts, err := r.Resolve(t.Context(), parse(t, "sip:plain.test"))
	if err != nil || ts[0].Transport != flow.TCP {
		t.Errorf("got %v, %v", ts, err)
	}
	if _, err := r.Resolve(t.Context(), parse(t, "sips:plain.test")); !errors.Is(err, ErrTransport) {
		t.Errorf("got %v", err)
	}
}

func TestTruncatedAnswerOverTCP(t *testing.T) {
	r := resolver(t, newServer(t), nil)
	ts, err := r.Resolve(t.Context(), parse(t, "sip:big.test:5060"))
	if err != nil || len(ts) != 201 {
		t.Errorf("got %d targets, %v", len(ts), err)
	}
}

func TestCacheKeepsTTL(t *testing.T) {
	s := newServer(t)
	var now atomic.Int64
	r := resolver(t, s, func(c *Config) { c.Now = func() time.Time { return time.Unix(now.Load(), 0) } })
	ask := func(uri string) int64 {
		before := s.asks.Load()
		r.Resolve(t.Context(), parse(t, uri))
		return s.asks.Load() - before
	}
	for _, tt := range []struct {
		at   int64
		uri  string
		asks int64
	}{
		{0, "sip:quick.test:5060", 2}, // A, AAAA
		{0, "sip:quick.test:5060", 0},
		{2, "sip:quick.test:5060", 1}, // that there is no AAAA is remembered longer
		{2, "sip:plain.test:5060", 2},
		{61, "sip:plain.test:5060", 0},
		{62, "sip:plain.test:5060", 2},
		{62, "sip:none.test:5060", 2},
		{100, "sip:none.test:5060", 0},
		{130, "sip:none.test:5060", 2},
	} {
		now.Store(tt.at)
		if n := ask(tt.uri); n != tt.asks {
			t.Errorf("at %d s %s took %d questions, want %d", tt.at, tt.uri, n, tt.asks)
		}
	}
}

func TestFailureIsNotRemembered(t *testing.T) {
	s := newServer(t)
	r := resolver(t, s, nil)
	s.fail.Store(dns.RcodeServerFailure)
	if _, err := r.Resolve(t.Context(), parse(t, "sip:plain.test:5060")); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want a failure", err)
	}
	s.fail.Store(0)
	if _, err := r.Resolve(t.Context(), parse(t, "sip:plain.test:5060")); err != nil {
		t.Error(err)
	}
}

func TestNextServer(t *testing.T) {
	bad, good := newServer(t), newServer(t)
	bad.fail.Store(dns.RcodeRefused)
	r := resolver(t, good, func(c *Config) { c.Servers = []string{bad.addr, good.addr} })
	if _, err := r.Resolve(t.Context(), parse(t, "sip:plain.test:5060")); err != nil {
		t.Error(err)
	}
}

func TestQuestionsAreShared(t *testing.T) {
	s := newServer(t)
	wait := make(chan struct{})
	s.wait.Store(&wait)
	r := resolver(t, s, func(c *Config) { c.NoIPv6 = true; c.Timeout = 20 * time.Second })
	uri := parse(t, "sip:plain.test:5060")
	// The first gives up; the others get their answer nevertheless.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Resolve(ctx, uri); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	for s.asks.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		wg.Go(func() {
			if _, err := r.Resolve(t.Context(), uri); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	for s.asks.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	close(wait)
	wg.Wait()
	if n := s.asks.Load(); n != 2 {
		t.Errorf("%d questions, want 2", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	r := resolver(t, newServer(t), func(c *Config) { c.Entries = 10; c.NoIPv6 = true })
	for i := range 50 {
		r.Resolve(t.Context(), parse(t, fmt.Sprintf("sip:h%d.test:5060", i)))
	}
	if n := len(r.cache.entries); n > 10 {
		t.Errorf("%d entries", n)
	}
}

func TestHostsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("::1 node node.test # six\n127.0.0.9\tNode.test\nrubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := New(Config{Hosts: path, Servers: []string{"127.0.0.1:1"}})
	ts, err := r.Resolve(t.Context(), parse(t, "sip:node.test:5060"))
	if err != nil || len(ts) != 2 || ts[0].Addr.String() != "127.0.0.9:5060" || ts[1].Addr.String() != "[::1]:5060" {
		t.Errorf("got %v, %v", ts, err)
	}
	if err := os.WriteFile(path, []byte("127.0.0.10 node.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ts, err := r.Resolve(t.Context(), parse(t, "sip:node.test:5060")); err != nil || len(ts) != 1 {
		t.Errorf("after a change: %v, %v", ts, err)
	}
}

// TestWeights checks RFC 2782's choice: the first of a priority in proportion to weight, each record once.
func TestWeights(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	const rounds = 10000
	for range rounds {
		got := order([]*dns.SRV{
			{Priority: 2, Weight: 100, Target: "later"}, {Priority: 1, Weight: 60, Target: "sixty"},
			{Priority: 1, Weight: 30, Target: "thirty"}, {Priority: 1, Weight: 10, Target: "ten"}, {Priority: 1, Weight: 0, Target: "zero"},
		}, rnd.IntN)
		seen := map[string]bool{}
		for _, s := range got {
			seen[s.Target] = true
		}
		if len(seen) != 5 || got[4].Target != "later" {
			t.Fatalf("got %v", got)
		}
		first[got[0].Target]++
	}
	for name, percent := range map[string]int{"sixty": 60, "thirty": 30, "ten": 10, "zero": 1} {
		if n := first[name] * 100 / rounds; n < percent-3 || n > percent+3 {
			t.Errorf("%s came first in %d %%, want about %d", name, n, percent)
		}
	}
}
