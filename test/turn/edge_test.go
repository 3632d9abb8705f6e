package turn

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/xmldoc/mras"
	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

const twoServers = `version = 1
domains = ["example.test"]

[[site]]
name = "main"
kind = "central"
edge = "edgepool.example.test"

[[pool]]
fqdn = "fe.example.test"
kind = "standard"
site = "main"
central-management = true
[[pool.server]]
fqdn = "fe.example.test"
addresses = [%q]

[[pool]]
fqdn = "edgepool.example.test"
kind = "edge"
site = "main"
next-hop = "fe.example.test"
[pool.edge-settings]
access = { fqdn = "access.example.test" }
web-conferencing = { fqdn = "web.example.test" }
av = { fqdn = "av.example.test" }
[[pool.server]]
fqdn = "edge.example.test"
addresses = [%q]
[pool.server.external]
access = [%q]
`

// TestEdge: the relay is on a machine of its own, whose secret the Front End does not have. It asks the Edge in the name of
// the user, and the credentials are good there.
func TestEdge(t *testing.T) {
	parleytest.Need(t, "turnutils_uclient")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	binary, err := server.Binary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	inside, inner, outer := server.OwnAddr(), server.OwnAddr(), server.OwnAddr()
	topology := filepath.Join(dir, "topology.toml")
	if err := os.WriteFile(topology, fmt.Appendf(nil, twoServers, inside, inner, outer), 0o600); err != nil {
		t.Fatal(err)
	}
	prepare := func(name string, args []string, addrs ...netip.Addr) *server.Server {
		s := &server.Server{Dir: filepath.Join(dir, name), Domain: "example.test", Addr: addrs[0], Binary: binary}
		args = append([]string{"init", "--topology", topology, "--node", name}, args...)
		for _, a := range addrs {
			args = append(args, "--address", a.String())
		}
		if _, err := s.CLI(ctx, "", args...); err != nil {
			t.Fatal(err)
		}
		if err := s.Configure(map[string]any{"admin": map[string]any{"listen": "127.0.0.1:0"}}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	run := func(s *server.Server) {
		if err := s.Serve(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("log of %s:\n%s", s.Dir, s.Log())
			}
		})
	}
	fe := prepare("fe.example.test", nil, inside)
	edge := prepare("edge.example.test", []string{"--ca", fe.Dir}, inner, outer)
	run(fe)
	if err := fe.AddUsers(ctx, []phone.Account{{User: "alice", Password: parleytest.Password, Domain: "example.test"}}); err != nil {
		t.Fatal(err)
	}
	// Without the Edge the Front End says so, and does not make a client wait for ever.
	p := parleytest.Phone(t, fe, "alice", "tcp")
	ask := func() (*mras.Response, *phone.Message) {
		m := p.Request("SERVICE", "sip:mras@fe.example.test", "sip:mras@fe.example.test", phone.Header{Name: "Content-Type", Value: mras.MediaType})
		m.Body = string((&mras.Request{ID: "1", To: "sip:mras@fe.example.test", From: "sip:alice@example.test", Version: "1.0",
			Asks: []mras.Ask{{ID: "2", Identity: "sip:alice@example.test", Location: mras.Internet, Duration: time.Hour}}}).Append(nil))
		got, err := p.Do(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		r, err := mras.ParseResponse([]byte(got.Body))
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		return r, got
	}
	if r, m := ask(); r.Reason == mras.OK || m.Code() != 503 && m.Code() != 504 {
		t.Errorf("without an Edge\n%s", m)
	}
	run(edge)
	// The Front End remembers for a moment that nobody answered there.
	r, m := ask()
	for tick := time.NewTicker(200 * time.Millisecond); r.Reason != mras.OK && ctx.Err() == nil; r, m = ask() {
		<-tick.C
	}
	if r.Reason != mras.OK || m.Code() != 200 || len(r.Given) != 1 || r.Given[0].ID != "2" || r.Given[0].Duration != time.Hour {
		t.Fatalf("got\n%s", m)
	}
	g := r.Given[0]
	if len(g.Relays) != 1 || g.Relays[0] != (mras.Relay{Location: mras.Internet, Host: "av.example.test", UDP: 3478, TCP: 443}) {
		t.Errorf("relays %+v", g.Relays)
	}
	for _, at := range []netip.Addr{outer, inner} {
		for _, args := range [][]string{nil, {"-t", "-p", "443"}, {"-t", "-S", "-p", "443"}} {
			sent, got, said := uclient(t, &server.Server{Addr: at}, append(args, "-u", g.Username, "-w", g.Password, "-y", "-c", "-n", "10")...)
			if sent == 0 || got < sent*8/10 {
				t.Errorf("%v %v: %d of %d came back\n%s", at, args, got, sent, said)
			}
		}
	}
	out, err := edge.CLI(ctx, "", "status", "--json")
	if err != nil || !strings.Contains(out, inner.String()+":5062") || strings.Contains(out, outer.String()+":5062") {
		t.Errorf("%v: %s", err, out)
	}
}
