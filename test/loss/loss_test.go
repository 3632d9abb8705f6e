// Package loss runs server and phones in a network that loses one packet in twenty, and looks for anything
// delivered twice or not at all.
package loss

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
	"parley/test/sipp"
)

// inside tells the test binary that it runs in the lossy network.
const inside = "PARLEY_TEST_LOSSY"

func TestMain(m *testing.M) { parleytest.Main(m) }

// TestInLossyNetwork runs itself again in a network namespace of its own, whose loopback loses 5 % of all packets:
// by the queueing discipline netem, or by a filter where the kernel has no netem.
func TestInLossyNetwork(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Run("messages", messages)
		t.Run("load", load)
		return
	}
	parleytest.Need(t, "ip", "tc", "nft", "sipp")
	binary, err := server.Binary(t.Context()) // built where the network is good
	if err != nil {
		t.Fatal(err)
	}
	script := `
set -e
ip link set lo up
if tc qdisc add dev lo root netem loss 5% 2>/dev/null; then
	echo "loss by netem"
else
	nft add table inet lossy
	nft add chain inet lossy in '{ type filter hook input priority 0; }'
	nft add rule inet lossy in meta l4proto udp numgen random mod 100 '<' 5 drop
	echo "loss by nft: this kernel has no netem"
fi
exec "$0" -test.run '^TestInLossyNetwork$' -test.v -test.timeout 10m`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, os.Args[0])
	cmd.Env = append(os.Environ(), inside+"=1", "PARLEY_BINARY="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// messages: every message is delivered, and each by one transaction.
func messages(t *testing.T) {
	const writers, each = 12, 25
	var names []string
	for i := range writers {
		names = append(names, fmt.Sprintf("writer%d", i))
	}
	s := parleytest.Start(t, parleytest.Users(append(names, "bob")...))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bob := parleytest.Phone(t, s, "bob", "udp")
	if err := bob.Register(ctx, 600); err != nil {
		t.Fatal(err)
	}
	box, stop := answer(ctx, bob)
	var wg sync.WaitGroup
	for _, name := range names {
		p := parleytest.Phone(t, s, name, "udp")
		wg.Go(func() {
			if err := p.Register(ctx, 600); err != nil {
				t.Error(err)
				return
			}
			for i := range each {
				text := fmt.Sprintf("%s says %d", name, i)
				if code, err := p.Message(ctx, "bob@"+s.Domain, text); err != nil || code != 200 && code != 202 {
					t.Errorf("%q: status %d, %v", text, code, err)
				}
			}
		})
	}
	wg.Wait()
	// What was taken with 202 may still be on its way.
	for end := time.Now().Add(time.Minute); box.texts() < writers*each && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	for _, name := range names {
		for i := range each {
			text := fmt.Sprintf("%s says %d", name, i)
			if n := len(box.transactions[text]); n != 1 {
				t.Errorf("%q came in %d transactions, want one", text, n)
			}
		}
	}
	t.Logf("%d messages, %d datagrams with them: %d were repeated", writers*each, box.datagrams, box.datagrams-writers*each)
	if box.datagrams == writers*each {
		t.Error("nothing was lost, so this test showed nothing")
	}
}

// mailbox is what a phone received.
type mailbox struct {
	mu           sync.Mutex
	transactions map[string]map[string]bool // text to branches
	datagrams    int
}

func (b *mailbox) texts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.transactions)
}

// answer lets a phone accept messages as RFC 3261 17.2.2 asks: a repeated request is the same one.
func answer(ctx context.Context, p *phone.Phone) (*mailbox, func()) {
	ctx, cancel := context.WithCancel(ctx)
	b := &mailbox{transactions: map[string]map[string]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			m, err := p.Receive(ctx)
			if err != nil {
				return
			}
			if m.Method() != "MESSAGE" {
				continue
			}
			_, branch, _ := strings.Cut(m.Get("Via"), "branch=")
			branch, _, _ = strings.Cut(branch, ";")
			b.mu.Lock()
			b.datagrams++
			if b.transactions[m.Body] == nil {
				b.transactions[m.Body] = map[string]bool{}
			}
			b.transactions[m.Body][branch+m.Get("CSeq")] = true
			b.mu.Unlock()
			_ = p.Send(m.Reply(200, "OK", "b"+branch[max(0, len(branch)-8):]))
		}
	})
	return b, func() { cancel(); wg.Wait() }
}

// load: SIPp's registers and calls all end well.
func load(t *testing.T) {
	const domain = "example.test"
	accounts := func(prefix string, n int) []phone.Account {
		return sipp.Accounts(prefix, n, domain, parleytest.Password)
	}
	users, callers, callees := accounts("user", 50), accounts("caller", 1), accounts("callee", 20)
	all := append(append(append([]phone.Account(nil), users...), callers...), callees...)
	s := parleytest.Start(t, parleytest.Accounts(all), parleytest.Config("auth", map[string]any{"algorithms": []string{"MD5"}}))
	l := sipp.Load{
		Transport: "udp", Server: s.At("udp"), Domain: domain, Dir: t.TempDir(),
		Users: users, Callers: callers, Callees: callees, Lossy: true,
	}
	for _, w := range []struct {
		kind    string
		n, rate int
	}{{"register", 500, 50}, {"call", 300, 30}} {
		res, err := l.Run(t.Context(), w.kind, w.n, w.rate)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Clean(w.n); err != nil {
			t.Errorf("%s: %v", w.kind, err)
		}
		t.Logf("%d of kind %s good, %d retransmissions by SIPp", res.Successful, w.kind, res.Retransmissions)
	}
}
