package baresip

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

var block atomic.Int32

// ports finds thirty free ports in a row below the range from which the kernel picks: SIP, TLS, control, and
// from the tenth on media. Phones take their ports from a file, so they cannot ask the kernel themselves.
func ports() (int, error) {
	const first, count, size = 20000, 400, 30
	for range count {
		n := (int(block.Add(1)) + os.Getpid()) % count
		base := first + n*size
		if free(base) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no free block of ports from %d on", first)
}

func free(base int) bool {
	for port := base; port < base+30; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return false
		}
		l.Close()
		u, err := net.ListenPacket("udp", addr)
		if err != nil {
			return false
		}
		u.Close()
	}
	return true
}
