package hostfw

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childEnv says that the test runs in a network of its own.
const childEnv = "PARLEY_HOSTFW_CHILD"

func TestParseChain(t *testing.T) {
	if c, err := ParseChain("inet filter input"); err != nil || c.String() != "inet filter input" {
		t.Errorf("%v, %v", c, err)
	}
	for _, s := range []string{"", "filter input", "inet filter input;flush", "arp filter input", "inet filter $x"} {
		if c, err := ParseChain(s); err == nil {
			t.Errorf("%q is %v", s, c)
		}
	}
}

// TestOpen runs itself again in a network namespace, where a firewall may be changed.
func TestOpen(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		testOpen(t)
		return
	}
	cmd := exec.Command("unshare", "-n", os.Args[0], "-test.run=^TestOpen$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	_, missing := exec.LookPath("nft")
	if missing != nil || strings.Contains(string(out), "unshare failed") {
		if os.Getenv("PARLEY_CI") == "1" {
			t.Fatalf("no nft or no namespaces: %s", out)
		}
		t.Skip("no nft or no namespaces")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testOpen(t *testing.T) {
	ctx := t.Context()
	chain, err := ParseChain("inet filter input")
	if err != nil {
		t.Fatal(err)
	}
	ports := []Port{
		{"tcp", netip.MustParseAddrPort("192.0.2.1:5061"), "srv-fe-frontend-5061"},
		{"udp", netip.MustParseAddrPort("[2001:db8::1]:3478"), "cli-turn-3478"},
		{"tcp", netip.MustParseAddrPort("0.0.0.0:443"), `odd "row`},
		{"tcp", netip.MustParseAddrPort("127.0.0.1:9000"), "loopback"},
	}
	if _, err := Open(ctx, chain, "fe.example.test", ports); !errors.Is(err, ErrNone) {
		t.Errorf("without a firewall: %v", err)
	}
	if out, err := exec.Command("nft", "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }; add rule inet filter input tcp dport 22 accept").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	list := func() string {
		out, err := exec.Command("nft", "list", "chain", "inet", "filter", "input").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before := list()
	o, err := Open(ctx, chain, "fe.example.test", ports)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ip daddr 192.0.2.1 tcp dport 5061 accept", "ip6 daddr 2001:db8::1 udp dport 3478 accept", "tcp dport 443 accept", "srv-fe-frontend-5061"} {
		if !strings.Contains(list(), want) {
			t.Errorf("lacks %s:\n%s", want, list())
		}
	}
	if strings.Contains(list(), "127.0.0.1") {
		t.Error("opens loopback")
	}
	// A node that ended without closing opens again: nothing twice.
	once := list()
	if _, err := Open(ctx, chain, "fe.example.test", ports); err != nil || list() != once {
		t.Errorf("%v\n%s", err, list())
	}
	if err := o.Close(ctx); err != nil || list() != before {
		t.Errorf("%v\n%s", err, list())
	}
}
