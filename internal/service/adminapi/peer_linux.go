package adminapi

import (
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// peerName is the operating system account at the other end of a unix socket.
func peerName(c net.Conn) string {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return "local"
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return "local"
	}
	var cred *syscall.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, _ = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || cred == nil {
		return "local"
	}
	id := strconv.Itoa(int(cred.Uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid:" + id
}
