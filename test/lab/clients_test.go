package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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

	"parley/internal/plan/render/nginx"
	"parley/test/baresip"
	"parley/test/phone"
	"parley/test/server"
	"parley/test/sipp"
)

const (
	domain   = "example.test"
	password = "correct-horse-battery"
)

// edgeStandIn passes what the Access service gets to its next hop: Parley has no Edge yet, and for the rules it matters
// only who connects to whom.
const edgeStandIn = `defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen access
    bind 203.0.113.2:443
    server fe 10.80.0.11:5061 source 10.82.0.2
`

// deployment is the world of the lab with servers in it: Parley inside, a reverse proxy with the generated configuration
// and a certificate made from the generated request, a TCP proxy and a STUN server in place of the Edge.
type deployment struct {
	*world
	programs
	ca    string // file
	roots *x509.CertPool
	users []phone.Account
	// patience is how long a client waits: long for what must work, since the machine may be busy.
	patience time.Duration
}

const long, short = 30 * time.Second, 3 * time.Second

func deploy(t *testing.T) *deployment {
	t.Helper()
	program, err := server.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{world: build(t), patience: long}
	d.programs = programs{d.world.Net, t.TempDir()}
	topo, err := filepath.Abs("lab.toml")
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(d.dir, "fe")
	do := func(stdin string, machine string, args ...string) {
		t.Helper()
		cmd := d.Command(machine, args...)
		cmd.Dir, cmd.Stdin = d.dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	do("", "fe", program, "init", "--data", data, "--topology", topo, "--node", "fe.example.test", "--address", addresses["fe"])
	for i, a := range append(sipp.Accounts("user", 6, domain, password), phone.Account{User: "alice", Password: password, Domain: domain}, phone.Account{User: "bob", Password: password, Domain: domain}) {
		d.users = append(d.users, a)
		do(password+"\n", "fe", program, "user", "add", a.AOR(), "--password-stdin", "--phone", "tel:+1555010"+strconv.Itoa(10+i), "--data", data)
	}
	do("", "fe", program, "config", "set", "auth.algorithms", `["MD5"]`, "--data", data) // SIPp knows no other
	fe := d.serve(t, "fe", program)
	t.Cleanup(func() {
		fe.Process.Signal(syscall.SIGTERM)
		fe.Wait()
		if t.Failed() {
			t.Logf("log of the server:\n%s", d.text("fe.log"))
		}
	})
	d.ca = filepath.Join(data, "ca", "ca.crt")
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		t.Fatal(err)
	}
	d.roots = x509.NewCertPool()
	d.roots.AppendCertsFromPEM(pem)

	do("", "proxy", program, "plan", "certs", "--topology", topo, "--format", "csr", "--out", d.dir)
	const listener = "proxy.example.test-listener"
	do("", "proxy", "openssl", "x509", "-req", "-in", listener+".csr", "-copy_extensions", "copy", "-days", "2",
		"-CA", d.ca, "-CAkey", filepath.Join(data, "ca", "ca.key"), "-out", listener+".crt")
	files, err := nginx.Proxy(d.plan)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		name = filepath.Join(d.dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	d.background(t, "proxy", "nginx.log", "nginx", "-c", write("nginx.conf", files[0].Data), "-e", "stderr",
		"-g", fmt.Sprintf("daemon off; pid %s/nginx.pid;", d.dir))
	d.background(t, "edge", "haproxy.log", "haproxy", "-db", "-f", write("haproxy.cfg", []byte(edgeStandIn)))
	d.background(t, "edge", "turnserver.log", "turnserver", "-n", "-S", "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout", "--simple-log",
		"--pidfile", filepath.Join(d.dir, "turnserver.pid"), "-L", "10.82.0.2", "-L", "203.0.113.2", "-L", "203.0.113.4")
	for _, l := range []struct{ machine, log, listens string }{
		{"proxy", "nginx.log", "0.0.0.0:443"}, {"edge", "haproxy.log", "203.0.113.2:443"}, {"edge", "turnserver.log", "203.0.113.4:3478"},
	} {
		d.eventually(t, l.log+" listens", l.log, func() bool {
			out, err := d.Command(l.machine, "ss", "-Hlntu").Output()
			return err == nil && strings.Contains(string(out), l.listens+" ")
		})
	}
	return d
}

// run runs a client in a machine; the error has its output.
func (d *deployment) run(machine string, args ...string) (string, error) {
	out, err := d.Command(machine, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", args[0], machine, err, out)
	}
	return string(out), nil
}

// curl gets a page of the web services through an address.
func (d *deployment) curl(machine, name string, port int, address, path string) error {
	out, err := d.run(machine, "curl", "-sS", "-f", "--max-time", fmt.Sprint(d.patience.Seconds()), "--cacert", d.ca,
		"--resolve", fmt.Sprintf("%s:%d:%s", name, port, address), fmt.Sprintf("https://%s:%d%s", name, port, path))
	if err == nil && !strings.Contains(strings.ToLower(out), "autodiscoverservice.svc") {
		err = fmt.Errorf("curl got something else: %s", out)
	}
	return err
}

// stun asks a STUN server who the client is.
func (d *deployment) stun(machine, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.patience)
	defer cancel()
	want := "UDP reflexive addr: " + addresses[machine] + ":"
	// The client goes on with other questions: its first answer is enough.
	ask := d.Command(machine, "stdbuf", "-oL", "turnutils_stunclient", "-p", "3478", address)
	cmd := exec.CommandContext(ctx, ask.Path, ask.Args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cancel()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), want) {
			return nil
		}
		text.WriteString(lines.Text() + "\n")
	}
	return fmt.Errorf("stun in %s: %s", machine, text.String())
}

// options lets SIPp ask the server itself over UDP.
func (d *deployment) options(t *testing.T, machine, server string) error {
	var res *sipp.Result
	var err error
	in := d.Do(machine, func() {
		res, err = sipp.Do(t.Context(), sipp.Run{Scenario: "options", Remote: netip.MustParseAddrPort(server), Local: netip.MustParseAddrPort(addresses[machine] + ":0"),
			Domain: domain, Calls: 1, Rate: 1, Timeout: d.patience, Dir: t.TempDir()})
	})
	if err := errors.Join(in, err); err != nil {
		return err
	}
	return res.Clean(1)
}

// load drives SIPp over TLS (stunnel's) from a machine: users sign in, write to each other, and ask the server itself.
func (d *deployment) load(t *testing.T, machine, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	at := netip.MustParseAddrPort(address)
	err := d.Do(machine, func() {
		tunnel, err := sipp.StartStunnel(ctx, t.TempDir(), at, d.ca, "fe.example.test")
		if err != nil {
			t.Fatal(err)
		}
		defer tunnel.Stop()
		l := sipp.Load{Transport: "tls", Server: at, TLS: &tls.Config{RootCAs: d.roots, ServerName: "fe.example.test"}, Tunnel: tunnel.Addr,
			Domain: domain, Users: d.users[:6], Callers: d.users[:1], Callees: d.users[1:6], Dir: t.TempDir()}
		for _, kind := range []string{"register", "message"} {
			res, err := l.Run(ctx, kind, 20, 20)
			if err == nil {
				err = res.Clean(20)
			}
			if err != nil {
				t.Errorf("SIPp in %s: %s: %v", machine, kind, err)
			}
		}
		res, err := sipp.Do(ctx, sipp.Run{Scenario: "options", Remote: tunnel.Addr, Local: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, Domain: domain,
			Calls: 20, Rate: 20, Timeout: time.Minute, Dir: t.TempDir()})
		if err == nil {
			err = res.Clean(20)
		}
		if err != nil {
			t.Errorf("SIPp in %s: options: %v", machine, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// phone starts a baresip in a machine and returns when it is registered.
func (d *deployment) phone(t *testing.T, machine string, c baresip.Config) *baresip.Phone {
	t.Helper()
	c.Password, c.Domain, c.Transport, c.Server, c.CAFile, c.Addr, c.Dir = password, domain, "tls", addresses["fe"]+":5061", d.ca, addresses[machine], t.TempDir()
	var p *baresip.Phone
	var err error
	if in := d.Do(machine, func() { p, err = baresip.Start(t.Context(), c) }); in != nil || err != nil {
		t.Fatal(in, err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", c.Name, p.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Registered(ctx); err != nil {
		t.Fatalf("%s in %s does not get in: %v", c.Name, machine, err)
	}
	return p
}

// call makes a call from inside to the branch, with tones both ways, and returns the phones.
func (d *deployment) call(t *testing.T, rtp [2]int) (alice, bob *baresip.Phone) {
	t.Helper()
	alice = d.phone(t, "client", baresip.Config{Name: "alice", Tone: 997, RTP: rtp})
	bob = d.phone(t, "far", baresip.Config{Name: "bob", Tone: 633, Answer: "auto", RTP: rtp})
	if err := alice.Command("dial", "sip:bob@"+domain); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range []*baresip.Phone{alice, bob} {
		if _, _, err := p.Await(ctx, 0, "CALL_ESTABLISHED"); err != nil {
			t.Fatal(err)
		}
	}
	return alice, bob
}

func hears(p *baresip.Phone, hz float64) bool {
	s, err := p.Heard()
	if err != nil {
		return false
	}
	share, rms := s.Tone(hz)
	return share > 0.9 && rms > 0.05
}

// TestClients drives real clients through the routers and to the machines with the generated rules: what the plan allows
// works, what it does not allow does not, although somebody listens there: without the rules it works.
func TestClients(t *testing.T) {
	need(t, "sipp", "stunnel4", "baresip", "curl", "nginx", "haproxy", "openssl", "turnserver", "turnutils_stunclient", "ss")
	d := deploy(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}

	// Web: from outside through the reverse proxy, from the branch to the server itself.
	must(d.curl("ext", "lyncdiscover.example.test", 443, "203.0.113.5", "/"))
	must(d.curl("far", "lyncdiscoverinternal.example.test", 443, addresses["fe"], "/"))
	// Media relay: its address outside, and the inner one for both internal zones.
	must(d.stun("ext", "203.0.113.4"))
	must(d.stun("client", "10.82.0.2"))
	must(d.stun("far", "10.82.0.2"))
	// SIP: from outside through the Edge, from the branch to the server.
	d.load(t, "ext", "203.0.113.2:443")
	d.load(t, "far", addresses["fe"]+":5061")
	t.Run("media on the ports of clients", func(t *testing.T) {
		alice, bob := d.call(t, [2]int{50020, 50039})
		d.eventually(t, "bob hears alice", "fe.log", func() bool { return hears(bob, 997) })
		d.eventually(t, "alice hears bob", "fe.log", func() bool { return hears(alice, 633) })
	})

	// Nobody may do these, though there are servers that would answer.
	refused := map[string]func() error{
		"SIPp from the branch to port 5060": func() error { return d.options(t, "far", addresses["fe"]+":5060") },
		"SIPp from inside to port 5060":     func() error { return d.options(t, "client", addresses["fe"]+":5060") },
		"SIPp from outside to the server":   func() error { return d.options(t, "ext", addresses["fe"]+":5060") },
		"curl from outside to the server": func() error {
			return d.curl("ext", "lyncdiscoverinternal.example.test", 443, addresses["fe"], "/")
		},
		"curl from the branch to the site for outside": func() error {
			return d.curl("far", "lyncdiscover.example.test", 4443, addresses["fe"], "/")
		},
		"STUN from outside to the address of another service": func() error { return d.stun("ext", "203.0.113.2") },
		"STUN from outside to the inner side":                 func() error { return d.stun("ext", "10.82.0.2") },
	}
	d.patience = short
	var wg sync.WaitGroup
	for name, f := range refused {
		wg.Go(func() {
			if f() == nil {
				t.Errorf("%s works", name)
			}
		})
	}
	wg.Wait()
	d.patience = long
	t.Run("media on other ports", func(t *testing.T) {
		// What is sent is counted before the router drops it.
		const count = "table inet watch {\n chain c {\n type filter hook prerouting priority -300;\n" +
			" ip saddr 10.80.0.50 udp dport 30000-30019 counter comment \"sent\"\n ip saddr 10.81.0.50 udp dport 30000-30019 counter comment \"sent\"\n }\n}\n"
		if err := d.Load("wan", []byte(count)); err != nil {
			t.Fatal(err)
		}
		packets := regexp.MustCompile(`counter packets (\d+) .*"sent"`)
		alice, bob := d.call(t, [2]int{30000, 30019})
		d.eventually(t, "two seconds of both are sent", "fe.log", func() bool {
			out, err := d.Command("wan", "nft", "list", "table", "inet", "watch").Output()
			if err != nil {
				t.Fatal(err)
			}
			both := packets.FindAllSubmatch(out, -1)
			for _, m := range both {
				if n, _ := strconv.Atoi(string(m[1])); n < 100 {
					return false
				}
			}
			return len(both) == 2
		})
		if hears(bob, 997) || hears(alice, 633) {
			t.Error("a tone passes on ports that no rule names")
		}
		// The same call, and all the rest, without the rules.
		for _, machine := range d.at {
			must(d.In(machine, "nft delete table inet parley"))
		}
		d.eventually(t, "bob hears alice without rules", "fe.log", func() bool { return hears(bob, 997) })
	})
	for name, f := range refused {
		if err := f(); err != nil {
			t.Errorf("%s does not work without the rules either, so that its failure showed nothing: %v", name, err)
		}
	}
}
