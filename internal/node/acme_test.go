package node_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"parley/internal/cert"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/test/parleytest"
)

// acmeWait is how long a certificate that has to come may take on a busy machine.
const acmeWait = 3 * time.Minute

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// allNamesAreHere answers every question with 127.0.0.1.
func allNamesAreHere(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown(); _ = pc.Close(); <-done })
	return pc.LocalAddr().String()
}

// pebble runs Let's Encrypt's test authority, which looks for proofs on two ports of 127.0.0.1, and returns its directory
// and a file with whom to trust for it. Its end is with the test, or before.
func pebble(t *testing.T, httpPort, tlsPort uint16) (directory, roots string, stop func()) {
	t.Helper()
	parleytest.Need(t, "pebble")
	dir := t.TempDir()
	ca, err := cert.NewCA("Authority of the test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	loop := netip.MustParseAddr("127.0.0.1")
	if err := cert.IssueNode(dir, ca, cert.Request{Subject: "localhost", Names: []string{"localhost"}, Addresses: []netip.Addr{loop}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loop, freePort(t))
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at.String(), "certificate": filepath.Join(dir, "certs", "node.crt"), "privateKey": filepath.Join(dir, "certs", "node.key"),
		"httpPort": httpPort, "tlsPort": tlsPort,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	var log nodetest.Log
	cmd := exec.Command("pebble", "-config", file, "-dnsserver", allNamesAreHere(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("log of pebble:\n%s", &log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), acmeWait)
	defer cancel()
	until(t, ctx, "pebble does not listen", func() bool {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "https://" + at.String() + "/dir", filepath.Join(dir, "ca", "ca.crt"), stop
}

func until(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

// shown is who issued what a node shows under a name.
func shown(t *testing.T, n *nodetest.Node, name string) string {
	t.Helper()
	c, err := tls.Dial("tcp", n.Addr(porttable.SrvFeWebcompat443).String(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Issuer.CommonName
}

// Certificates of a real authority, by each of the two proofs, and again after a restart without it.
func TestACME(t *testing.T) {
	for _, proof := range []string{"HTTP-01", "TLS-ALPN-01"} {
		t.Run(proof, func(t *testing.T) {
			loop := netip.MustParseAddr("127.0.0.1")
			listen := nodetest.FreePorts(webSpecs)
			http, https, closed := freePort(t), freePort(t), freePort(t)
			listen[porttable.SrvFeWebcompat80], listen[porttable.SrvFeWebcompat443] = netip.AddrPortFrom(loop, http), netip.AddrPortFrom(loop, https)
			if proof == "HTTP-01" {
				https = closed
			} else {
				http = closed
			}
			directory, roots, stop := pebble(t, http, https)
			dir := nodetest.Dir(t)
			edit(t, dir, "acme", "directory", fmt.Sprintf("%q", directory))
			edit(t, dir, "acme", "ca", fmt.Sprintf("%q", roots))
			edit(t, dir, "acme", "names", `["web.example.test", "meet.example.test"]`)
			ctx, cancel := context.WithTimeout(t.Context(), acmeWait)
			defer cancel()
			n := nodetest.Start(t, dir, node.Options{Specs: webSpecs, Listen: listen})
			both := func() bool {
				return strings.Contains(shown(t, n, "web.example.test"), "Pebble") && strings.Contains(shown(t, n, "Meet.Example.test"), "Pebble")
			}
			until(t, ctx, "no certificate of the authority", both)
			if got := shown(t, n, nodetest.FQDN); !strings.HasPrefix(got, "Parley") {
				t.Errorf("under another name: %s", got)
			}
			if err := n.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			stop()
			n = nodetest.Start(t, dir, node.Options{Specs: webSpecs, Listen: listen})
			until(t, ctx, "the certificates were not kept", both)
		})
	}
}
