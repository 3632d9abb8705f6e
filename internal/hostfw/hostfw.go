// Package hostfw opens the ports of a node in the firewall of its machine and closes them again. It puts accept rules
// at the head of a chain that exists, because what one table of nftables accepts another may still drop. It uses the
// program nft; without it, or without the chain, nothing filters here and there is nothing to open.
package hostfw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
)

// ErrNone says that there is no such firewall to open.
var ErrNone = errors.New("no such firewall")

// Port is one port to open.
type Port struct {
	Transport string // "tcp" or "udp"
	Address   netip.AddrPort
	Row       string // of the port plan
}

// Chain is a base chain of nftables, written "inet filter input".
type Chain struct{ family, table, name string }

var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// ParseChain reads "FAMILY TABLE CHAIN".
func ParseChain(s string) (Chain, error) {
	f := strings.Fields(s)
	if len(f) != 3 || f[0] != "inet" && f[0] != "ip" && f[0] != "ip6" || !word.MatchString(f[1]) || !word.MatchString(f[2]) {
		return Chain{}, fmt.Errorf("%q: want FAMILY TABLE CHAIN, such as inet filter input", s)
	}
	return Chain{f[0], f[1], f[2]}, nil
}

func (c Chain) String() string { return c.family + " " + c.table + " " + c.name }

// Opened is what was opened.
type Opened struct {
	chain Chain
	mark  string
}

// Open puts a rule for each port at the head of a chain, in one step. Rules that an earlier run of the same node left
// behind go first. The error wraps ErrNone when there is nothing that filters.
func Open(ctx context.Context, chain Chain, node string, ports []Port) (*Opened, error) {
	o := &Opened{chain: chain, mark: "parley " + comment(node, 60) + " "}
	if err := o.Close(ctx); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range ports {
		family, a := "ip", p.Address.Addr().Unmap()
		if a.Is6() {
			family = "ip6"
		}
		if chain.family != "inet" && chain.family != family && !a.IsUnspecified() || a.IsLoopback() {
			continue
		}
		match := family + " daddr " + a.WithZone("").String() + " "
		if a.IsUnspecified() {
			match = ""
		}
		if p.Transport != "tcp" && p.Transport != "udp" {
			return nil, fmt.Errorf("%s: no transport %q", p.Row, p.Transport)
		}
		fmt.Fprintf(&b, "insert rule %s %s%s dport %d accept comment \"%s%s\"\n", chain, match, p.Transport, p.Address.Port(), o.mark, comment(p.Row, 50))
	}
	return o, o.nft(ctx, b.String())
}

// Close takes the rules away again.
func (o *Opened) Close(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "nft", "-a", "list", "chain", o.chain.family, o.chain.table, o.chain.name)
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: nft is not installed", ErrNone)
	case errors.As(err, &exit) && bytes.Contains(exit.Stderr, []byte("No such file")):
		return fmt.Errorf("%w: there is no chain %s", ErrNone, o.chain)
	case errors.As(err, &exit):
		return fmt.Errorf("nft: %s", bytes.TrimSpace(exit.Stderr))
	case err != nil:
		return fmt.Errorf("nft: %w", err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if _, handle, ok := strings.Cut(line, "# handle "); ok && strings.Contains(line, `comment "`+o.mark) {
			fmt.Fprintf(&b, "delete rule %s handle %s\n", o.chain, strings.TrimSpace(handle))
		}
	}
	return o.nft(ctx, b.String())
}

// nft runs commands, all or none of them.
func (o *Opened) nft(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// comment keeps what a comment may contain.
func comment(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), max)]
}
