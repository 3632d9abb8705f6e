package node_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/all"
	"parley/internal/topology"
)

// TestOpenPortsAreThoseOfThePortTable starts every inside role with the real
// port numbers, on a loopback address of its own, and compares what the
// process has open with what the services declare and the port table says,
// both ways.
func TestOpenPortsAreThoseOfThePortTable(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc; CI runs on Linux")
	}
	addr := netip.MustParseAddr("127.61.50.60")
	dir := nodetest.Dir(t)
	edit(t, dir, "listen", "addresses", fmt.Sprintf("[%q]", addr))
	var optional []string
	for _, spec := range all.Specs() {
		for _, p := range spec.Ports {
			if p.Optional && p.Row != config.RowSIPTCP && p.Row != config.RowSIPUDP { // these two are on by default
				optional = append(optional, strconv.Quote(p.Row))
			}
		}
	}
	edit(t, dir, "listen", "enable", "["+strings.Join(optional, ", ")+"]")
	before := openSockets(t)
	n := nodetest.Start(t, dir, node.Options{Listen: map[string]netip.AddrPort{"admin": netip.MustParseAddrPort("127.0.0.1:0")}})
	open := openSockets(t)
	maps.DeleteFunc(open, func(s socket, _ int) bool { return before[s] > 0 })

	for _, l := range n.Status().Listeners {
		t.Logf("%s %s %s", l.Row, l.Transport, l.Address)
	}
	health := socket{"tcp", netip.MustParseAddrPort(n.Status().AdminHTTP)}
	if open[health] == 0 {
		t.Errorf("health is not served at %v", health)
	}
	delete(open, health) // loopback only, and documented beside the table

	// Every declared port is open, at the number of its row, with the
	// transport of its row. Two may share one: the relay is behind the door of the web site.
	roles := topology.Single(nodetest.Domain, nodetest.FQDN).Pools[0].Kind.Roles()
	roles = append(roles, topology.Single(nodetest.Domain, nodetest.FQDN).Pools[0].Collocated...)
	seen := map[socket]bool{}
	for _, spec := range all.Specs() {
		if !spec.HostedBy(topology.NodeRoles()) {
			continue
		}
		for _, p := range spec.Ports {
			number, err := p.Num()
			if err != nil {
				t.Error(err)
				continue
			}
			if !p.OpensOn(roles) {
				continue
			}
			s := socket{p.Transport.Network(), netip.AddrPortFrom(addr, number)}
			if open[s] == 0 && !seen[s] {
				t.Errorf("row %s: %v is not open", p.Row, s)
			}
			seen[s] = true
			delete(open, s)
			if p.Extension != "" {
				continue
			}
			checkRow(t, porttable.MustByID(p.Row), p)
		}
	}
	// Nothing else is open.
	for s := range open {
		t.Errorf("%v is open, and no service declares it", s)
	}
}

// checkRow compares what a service declares with what the row says.
func checkRow(t *testing.T, row porttable.Row, p service.Port) {
	t.Helper()
	transport := porttable.TCP
	if p.Transport.Network() == "udp" {
		transport = porttable.UDP
	}
	direction := porttable.Inbound
	if row.Table == porttable.Client {
		direction = porttable.Outbound // what clients open is what a server listens on
	}
	if !row.Transports.Has(transport) || !row.Direction.Has(direction) {
		t.Errorf("row %s is %v %v, a service listens on %s", row.ID, row.Transports, row.Direction, p.Transport)
	}
	mode := porttable.PlainText
	switch {
	case p.ClientCert == service.RequireClientCert:
		mode = porttable.MutualTLS
	case p.ClientCert == service.AskClientCert:
		mode = porttable.TLS | porttable.MutualTLS
	case p.Transport == service.TLS || p.Transport == service.WSS || p.Transport == service.HTTPS:
		mode = porttable.TLS
	}
	if !row.TLS.Has(mode) {
		t.Errorf("row %s is %v, a service serves %v", row.ID, row.TLS, mode)
	}
}

// socket is an open listening TCP socket or a UDP socket without peer.
type socket struct {
	network string
	addr    netip.AddrPort
}

func (s socket) String() string { return s.network + " " + s.addr.String() }

// openSockets counts the sockets by which this process can be reached.
func openSockets(t *testing.T) map[socket]int {
	t.Helper()
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				mine[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	out := map[socket]int{}
	for file, state := range map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"} {
		f, err := os.Open("/proc/self/net/" + file)
		if err != nil {
			continue // no IPv6 here
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the heading
		for lines.Scan() {
			w := strings.Fields(lines.Text())
			if len(w) > 9 && w[3] == state && mine[w[9]] {
				out[socket{strings.TrimSuffix(file, "6"), kernelAddr(t, w[1])}]++
			}
		}
		f.Close()
	}
	return out
}

// kernelAddr reads "0100007F:13C5": words of four bytes in the machine's
// order, here little-endian.
func kernelAddr(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+4 <= len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	var number uint16
	if _, err := fmt.Sscanf(port, "%X", &number); err != nil {
		t.Fatal(err)
	}
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), number)
}
