package store

import "syscall"

// giveUpOnSilence bounds how long sent data may stay unacknowledged
// (TCP_USER_TIMEOUT, in milliseconds): a database host that vanished is
// noticed in 20 s and not in the quarter of an hour of TCP's own patience.
func giveUpOnSilence(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	const tcpUserTimeout = 0x12
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, 20_000)
	})
	if err != nil {
		return err
	}
	return failed
}
