package resolve

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// hosts reads the hosts file again when it has changed.
type hosts struct {
	path string

	mu    sync.Mutex
	mtime time.Time
	size  int64
	names map[string][]netip.Addr
}

// lookup returns the addresses of a name in lower case, IPv4 first.
func (h *hosts) lookup(name string) []netip.Addr {
	if h.path == "-" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := os.Stat(h.path)
	if err != nil {
		return nil
	}
	if h.names == nil || !info.ModTime().Equal(h.mtime) || info.Size() != h.size {
		text, err := os.ReadFile(h.path)
		if err != nil {
			return nil
		}
		h.names = parseHosts(string(text))
		h.mtime, h.size = info.ModTime(), info.Size()
	}
	return h.names[name]
}

func parseHosts(text string) map[string][]netip.Addr {
	v4, v6 := map[string][]netip.Addr{}, map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		names := v6
		if addr = addr.Unmap(); addr.Is4() {
			names = v4
		}
		for _, n := range fields[1:] {
			n = strings.ToLower(n)
			names[n] = append(names[n], addr)
		}
	}
	for n, addrs := range v6 {
		v4[n] = append(v4[n], addrs...)
	}
	return v4
}
