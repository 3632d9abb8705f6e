package transport

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMark: what is sent carries the code point, on both sockets and in both families.
func TestMark(t *testing.T) {
	for _, addr := range []netip.Addr{here, netip.IPv6Loopback()} {
		x := open(t, Config{Listen: addr, DSCP: 46})
		level, option := unix.IPPROTO_IP, unix.IP_TOS
		if addr.Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		for _, k := range x.comps {
			var got int
			var err error
			if cerr := k.conn.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), level, option) }); cerr != nil || err != nil {
				t.Fatal(cerr, err)
			}
			if got != 46<<2 {
				t.Errorf("%v: %#x", addr, got)
			}
		}
	}
}

// TestIPv6: the other family works the same.
func TestIPv6(t *testing.T) {
	c := Config{Listen: netip.IPv6Loopback(), ICE: Full}
	a, b := open(t, c), open(t, c)
	join(t, a, b)
	talk(t, a, b, 1, 1)
	c.ICE = None
	a, b = open(t, c), open(t, c)
	join(t, a, b)
	talk(t, a, b, 1, 1)
}
