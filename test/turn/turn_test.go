package turn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/internal/xmldoc/mras"
	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

func TestMain(m *testing.M) {
	parleytest.Main(m, func() {
		if agent.dir != "" {
			os.RemoveAll(agent.dir)
		}
	})
}

const (
	secret   = "a secret of the tests only"
	patience = 3 * time.Minute
)

// start starts a server whose relay may send to networks.
func start(t *testing.T, peers ...string) *server.Server {
	t.Helper()
	s := parleytest.Start(t, parleytest.Users("alice"), parleytest.Config("avedge", map[string]any{"secret": secret, "per-user": 200}))
	if len(peers) == 0 {
		return s
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "topology.toml"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), "[[pool.server]]")
	if !ok {
		t.Fatal("no server in the topology")
	}
	file := filepath.Join(t.TempDir(), "topology.toml")
	change := fmt.Sprintf("[pool.edge-settings]\nrelay-peers = [%q]\n\n[[pool.server]]", strings.Join(peers, `", "`))
	if err := os.WriteFile(file, []byte(before+change+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CLI(t.Context(), "", "topology", "apply", file); err != nil {
		t.Fatal(err)
	}
	return s
}

// metrics are those of the relay that are not zero.
func metrics(t *testing.T, s *server.Server) map[string]float64 {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + st.AdminHTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "parley_avedge_"), "} ")
		if !ok {
			name, value, ok = strings.Cut(strings.TrimPrefix(lines.Text(), "parley_avedge_"), " ")
		}
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && v != 0 && strings.HasPrefix(lines.Text(), "parley_avedge_") {
			out[strings.NewReplacer(`{reason="`, " ", `{to="`, " ", `"`, "").Replace(name)] = v
		}
	}
	return out
}

// echo runs turnutils_peer, which sends back what it gets, and returns where.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	at := netip.AddrPortFrom(server.OwnAddr(), 3480)
	cmd := exec.Command("turnutils_peer", "-p", strconv.Itoa(int(at.Port())), "-L", at.Addr().String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	// It has no way to say that it is ready but to answer.
	c, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.Write([]byte("there?"))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Read(make([]byte, 16)); err == nil {
			return at
		}
	}
	t.Fatal("turnutils_peer does not answer")
	return at
}

var counts = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)

// uclient runs turnutils_uclient and returns how many messages it sent and got back, and what it said.
func uclient(t *testing.T, s *server.Server, args ...string) (sent, got int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "turnutils_uclient", append(args, s.Addr.String())...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("turnutils_uclient %v does not end\n%s", args, out)
	}
	if m := counts.FindAllSubmatch(out, -1); err == nil && m != nil {
		last := m[len(m)-1]
		sent, _ = strconv.Atoi(string(last[1]))
		got, _ = strconv.Atoi(string(last[2]))
	}
	return sent, got, string(out)
}

// TestUclient: every way of coturn's own client: channels and indications, over UDP, TCP and TLS, with pairs of ports
// (EVEN-PORT and RESERVATION-TOKEN), and from relay to relay.
func TestUclient(t *testing.T) {
	parleytest.Need(t, "turnutils_uclient", "turnutils_peer")
	s := start(t, "127.0.0.0/8")
	peer := echo(t)
	to := []string{"-u", "alice", "-W", secret, "-n", "20", "-m", "2", "-l", "172"}
	far := append([]string{"-e", peer.Addr().String(), "-r", strconv.Itoa(int(peer.Port()))}, to...)
	for name, args := range map[string][]string{
		"channels":              far,
		"indications":           append([]string{"-s"}, far...),
		"large":                 append([]string{"-l", "1400"}, far...),
		"single ports":          append([]string{"-c"}, far...),
		"extra requests":        append([]string{"-G"}, far...),
		"relay to relay":        append([]string{"-y", "-c"}, to...),
		"TCP, channels":         append([]string{"-t", "-p", "443"}, far...),
		"TCP, indications":      append([]string{"-t", "-s", "-p", "443"}, far...),
		"TCP, relay to relay":   append([]string{"-t", "-y", "-c", "-p", "443"}, to...),
		"TLS, channels":         append([]string{"-t", "-S", "-p", "443"}, far...),
		"TLS, indications":      append([]string{"-t", "-S", "-s", "-p", "443"}, far...),
		"padded as pjnath does": append([]string{"-D"}, far...),
	} {
		t.Run(name, func(t *testing.T) {
			sent, got, said := uclient(t, s, args...)
			if sent == 0 || got < sent*9/10 { // a machine that is busy may lose one
				t.Errorf("%d of %d came back\n%s", got, sent, said)
			}
		})
	}
	m := metrics(t, s)
	if m["packets_total peer"] == 0 || m["packets_total client"] == 0 || m["refused_total no credentials"] == 0 {
		t.Errorf("metrics %v", m)
	}
}

// rest makes credentials as any issuer that knows the secret does.
func rest(secret, identity string, expires time.Time) (username, password string) {
	username = fmt.Sprintf("%d:%s", expires.Unix(), identity)
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// TestRefused: who has no right to the relay, and where it never sends.
func TestRefused(t *testing.T) {
	parleytest.Need(t, "turnutils_uclient")
	s := start(t)
	expired, expiredPassword := rest(secret, "alice", time.Now().Add(-time.Minute))
	good, goodPassword := rest(secret, "alice", time.Now().Add(time.Hour))
	const noAllocation = "Cannot complete Allocation" // all it says of 401
	forged := strings.Replace(good, ":", "0:", 1)     // ten times as late
	for _, x := range []struct {
		name string
		args []string
		said string
		refused,
		peer string
	}{
		{"expired", []string{"-u", expired, "-w", expiredPassword}, noAllocation, "expired", "203.0.113.9"},
		{"forged expiry", []string{"-u", forged, "-w", goodPassword}, noAllocation, "wrong password", "203.0.113.9"},
		{"another secret", []string{"-u", "alice", "-W", "another secret"}, noAllocation, "wrong password", "203.0.113.9"},
		{"name without expiry", []string{"-u", "alice", "-w", parleytest.Password}, noAllocation, "unknown user", "203.0.113.9"},
		{"loopback", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", "127.0.0.1"},
		{"private", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", "192.168.1.1"},
		{"shared", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", "100.64.0.1"},
		{"link-local", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", "169.254.169.254"},
		{"multicast", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", "224.0.0.1"},
		{"the server's own ports", []string{"-u", good, "-w", goodPassword}, "error 403", "forbidden peer", s.Addr.String()},
		{"TCP relay", []string{"-T", "-u", good, "-w", goodPassword, "-p", "443"}, "442", "bad request", "203.0.113.9"},
	} {
		t.Run(x.name, func(t *testing.T) {
			before := metrics(t, s)["refused_total "+x.refused]
			_, got, said := uclient(t, s, append([]string{"-n", "1", "-c", "-e", x.peer, "-r", "5060"}, x.args...)...)
			if got != 0 || !strings.Contains(said, x.said) {
				t.Errorf("%d came back; want %s\n%s", got, x.said, said)
			}
			if after := metrics(t, s)["refused_total "+x.refused]; after <= before {
				t.Errorf("not counted as %s: %v", x.refused, metrics(t, s))
			}
		})
	}
	if m := metrics(t, s); m["packets_total peer"] != 0 {
		t.Errorf("something was relayed: %v", m)
	}
}

// TestFlood: what nobody asked for, at the relay's port and at relay ports, is dropped and counted, and a client beside it is
// served.
func TestFlood(t *testing.T) {
	parleytest.Need(t, "turnutils_uclient", "turnutils_peer")
	s := start(t, "127.0.0.0/8")
	peer := echo(t)
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	end := make(chan struct{})
	var flood sync.WaitGroup
	defer flood.Wait()
	stop := sync.OnceFunc(func() { close(end) })
	defer stop()
	flood.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			relayed := netip.AddrPortFrom(s.Addr, uint16(50000+n%10000))
			c.WriteToUDPAddrPort([]byte("\x80\x00 RTP that nobody wants"), relayed)
			for _, text := range []string{"\x80\x00 RTP to the port of the relay", "\x40\x00\x00\x05channel of nobody", "\x00\x03\x00\x08\x21\x12\xa4\x42cut", ""} {
				c.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(s.Addr, 3478))
			}
		}
	})
	sent, got, said := uclient(t, s, "-u", "alice", "-W", secret, "-n", "50", "-m", "5", "-e", peer.Addr().String(), "-r", strconv.Itoa(int(peer.Port())))
	stop()
	if sent == 0 || got < sent*9/10 {
		t.Errorf("%d of %d came back\n%s", got, sent, said)
	}
	if m := metrics(t, s); m["dropped_total malformed"] == 0 || m["dropped_total no allocation"] == 0 || m["dropped_total not sent"] != 0 {
		t.Errorf("metrics %v", m)
	}
}

// agent is the built client of libnice.
var agent struct {
	sync.Once
	dir string
	err error
}

func build(t *testing.T) string {
	t.Helper()
	parleytest.Need(t, "cc", "pkg-config")
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "nice", "glib-2.0").Output()
	if err != nil {
		parleytest.Without(t, "libnice-dev is not installed")
	}
	agent.Do(func() {
		if agent.dir, agent.err = os.MkdirTemp("", "parley-relayed-"); agent.err != nil {
			return
		}
		args := append([]string{"-o", filepath.Join(agent.dir, "relayed"), "testdata/relayed.c"}, strings.Fields(string(flags))...)
		if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
			agent.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if agent.err != nil {
		t.Fatal(agent.err)
	}
	return filepath.Join(agent.dir, "relayed")
}

// credentials asks for those of alice, as clients do.
func credentials(t *testing.T, s *server.Server) mras.Given {
	t.Helper()
	p := parleytest.Phone(t, s, "alice", "tls")
	m := p.Request("SERVICE", "sip:alice@example.test", "sip:alice@example.test", phone.Header{Name: "Content-Type", Value: mras.MediaType})
	m.Body = string((&mras.Request{ID: "1", To: "sip:alice@example.test", From: "sip:alice@example.test", Version: "1.0",
		Asks: []mras.Ask{{ID: "1", Identity: "sip:alice@example.test", Location: mras.Internet}}}).Append(nil))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := p.Do(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := mras.ParseResponse([]byte(got.Body))
	if err != nil || r.Reason != mras.OK || len(r.Given) != 1 || len(r.Given[0].Relays) == 0 {
		t.Fatalf("%v\n%s", err, got)
	}
	return r.Given[0]
}

// nice is one running agent.
type nice struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err bytes.Buffer
}

func startNice(t *testing.T, ctx context.Context, dialect, role, transport string, g mras.Given) *nice {
	t.Helper()
	r := g.Relays[0]
	port := r.UDP
	if transport != "udp" {
		port = r.TCP
	}
	n := &nice{cmd: exec.CommandContext(ctx, build(t), dialect, role, r.Host, strconv.Itoa(int(port)), g.Username, g.Password, transport)}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.cmd.Stderr = &n.err
	n.cmd.WaitDelay = time.Second
	var err error
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.out = bufio.NewReader(out)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.cmd.Process.Kill()
		n.cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s:\n%s", dialect, role, n.err.String())
		}
	})
	return n
}

// told is what an agent tells of itself, up to "end".
func (n *nice) told(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := n.out.ReadString('\n')
		if err != nil {
			t.Fatalf("the agent ended: %v\n%s", err, b.String())
		}
		b.WriteString(line)
		if line == "end\n" {
			return b.String()
		}
	}
}

// TestLibnice: two agents that know each other's relayed addresses only agree on a pair of them, by ICE through the relay,
// and talk: in the dialect of Lync clients and in that of the RFCs, over UDP and over TCP.
func TestLibnice(t *testing.T) {
	s := start(t)
	for _, x := range []struct{ dialect, transport string }{{"r2", "udp"}, {"rfc", "udp"}, {"rfc", "tcp"}} {
		t.Run(x.dialect+" "+x.transport, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			g := credentials(t, s)
			a := startNice(t, ctx, x.dialect, "controlling", x.transport, g)
			b := startNice(t, ctx, x.dialect, "controlled", x.transport, g)
			ofA, ofB := a.told(t), b.told(t)
			if !strings.Contains(ofA, "cand "+s.Addr.String()) || !strings.Contains(ofB, "cand "+s.Addr.String()) {
				t.Fatalf("no relayed candidates:\n%s%s", ofA, ofB)
			}
			io.WriteString(b.in, ofA)
			io.WriteString(a.in, ofB)
			line, err := a.out.ReadString('\n')
			if err != nil || line != "answered\n" {
				t.Errorf("got %q, %v; the other side said\n%s", line, err, b.err.String())
			}
		})
	}
	m := metrics(t, s)
	t.Logf("%v", m)
	if m["packets_total peer"] < 3*2*50 || m["refused_total wrong password"]+m["refused_total unknown user"]+m["dropped_total replayed"] != 0 {
		t.Errorf("metrics %v", m)
	}
}

// TestLyncTCP: a Lync client behind a firewall gets a relayed address by what looks like TLS on 443.
func TestLyncTCP(t *testing.T) {
	s := start(t)
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			n := startNice(t, ctx, "r2", "controlling", transport, credentials(t, s))
			if told := n.told(t); !strings.Contains(told, "cand "+s.Addr.String()) {
				t.Errorf("no relayed candidate:\n%s", told)
			}
		})
	}
}
