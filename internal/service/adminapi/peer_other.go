//go:build !linux

package adminapi

import "net"

// peerName cannot tell accounts apart on this system; the file permission of
// the socket has let the peer in.
func peerName(net.Conn) string { return "local" }
