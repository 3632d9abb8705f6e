// Package lab is a network of namespaces, in which a plan is proved: zones, the routers between them with exactly the
// rules that the plan generates, and the machines of the deployment with their own.
package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Net is a running network. Close removes it.
type Net struct {
	prefix string
	spaces []string
}

// Port is one leg of a machine on a segment.
type Port struct {
	Segment string
	Address string // with length, "10.80.0.11/24"; several are separated by spaces
}

// New makes an empty network with its segments, which are bridges in a namespace of their own.
func New(segments ...string) (*Net, error) {
	n := &Net{prefix: fmt.Sprintf("parley%d-", os.Getpid())}
	if err := n.space("switch"); err != nil {
		return nil, err
	}
	for _, s := range segments {
		if err := n.In("switch", "ip link add "+s+" type bridge && ip link set "+s+" up"); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func (n *Net) space(name string) error {
	if err := run("ip", "netns", "add", n.prefix+name); err != nil {
		return err
	}
	n.spaces = append(n.spaces, name)
	return n.In(name, `ip link set lo up; for i in 4 6; do echo 1 >/proc/sys/net/ipv$i/conf/all/forwarding; done
for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done; echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit; true`)
}

// Machine adds a machine with legs on segments and routes such as "default via 10.80.0.1".
func (n *Net) Machine(name string, ports []Port, routes ...string) error {
	if err := n.space(name); err != nil {
		return err
	}
	for i, p := range ports {
		inner := fmt.Sprintf("eth%d", i)
		outer := fmt.Sprintf("v%d-%d", len(n.spaces), i)
		script := fmt.Sprintf("ip link add %s type veth peer name %s netns %s && ip link set %s master %s up", outer, inner, n.prefix+name, outer, p.Segment)
		if err := n.In("switch", script); err != nil {
			return err
		}
		for _, a := range strings.Fields(p.Address) {
			if strings.Contains(a, ":") {
				a += " nodad" // nobody else has it
			}
			if err := n.In(name, fmt.Sprintf("ip addr add dev %s %s", inner, a)); err != nil {
				return err
			}
		}
		if err := n.In(name, fmt.Sprintf("ip link set %s up; echo 0 >/proc/sys/net/ipv4/conf/%s/rp_filter", inner, inner)); err != nil {
			return err
		}
	}
	for _, r := range routes {
		if err := n.In(name, "ip route add "+r); err != nil {
			return err
		}
	}
	return nil
}

// Command is a command that runs in a machine.
func (n *Net) Command(machine string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.prefix + machine}, args...)...)
}

// In runs a shell script in a machine.
func (n *Net) In(machine, script string) error {
	out, err := n.Command(machine, "sh", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s: %w\n%s", machine, script, err, out)
	}
	return nil
}

// Do runs f in a machine: sockets that it opens and programs that it starts are there, and stay there. What f leaves to
// other goroutines is not.
func (n *Net) Do(machine string, f func()) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + n.prefix + machine)
	if err != nil {
		return err
	}
	defer there.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", machine, err)
	}
	defer func() {
		// A thread that does not come home stays locked and ends with its goroutine.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	f()
	return nil
}

// Load loads an nftables file into a machine.
func (n *Net) Load(machine string, rules []byte) error {
	cmd := n.Command(machine, "nft", "-f", "-")
	cmd.Stdin = bytes.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft in %s: %w\n%s", machine, err, out)
	}
	return nil
}

// Close removes all namespaces, and with them the links and rules in them.
func (n *Net) Close() error {
	var errs []error
	for _, s := range n.spaces {
		errs = append(errs, run("ip", "netns", "del", n.prefix+s))
	}
	n.spaces = nil
	return errors.Join(errs...)
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
