package sip

import (
	"net/netip"
	"strconv"
)

// appendReceived appends one Via value with received and rport as the source address says: received when the
// sent-by host is not that address (RFC 3261 section 18.2.1) or rport was asked for, and rport when it was
// asked for (RFC 3581 section 4). What the sender put there itself is replaced.
func appendReceived(dst, item []byte, src netip.AddrPort) []byte {
	var v Via
	if ParseVia(item, &v) != nil {
		return append(dst, item...)
	}
	var buf [64]byte
	addr := src.Addr().Unmap().WithZone("").AppendTo(buf[:0])
	host := v.Host
	if host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	same := equalFold(host, addr)
	if same && !v.HasRPort && v.Received == nil {
		return append(dst, item...)
	}
	if !v.HasRPort && v.Received == nil {
		dst = append(dst, item...)
	} else {
		dst = append(dst, item[:len(item)-len(v.Params)]...)
		for p := v.Params; len(p) > 0; {
			name, _, rest, more := p.cut()
			if more && !equalFold(name, "received") && !equalFold(name, "rport") {
				dst = append(dst, p[:len(p)-len(rest)]...)
			}
			p = rest
		}
	}
	if !same || v.HasRPort {
		dst = append(dst, ";received="...)
		dst = append(dst, addr...)
	}
	if v.HasRPort {
		dst = append(dst, ";rport="...)
		dst = strconv.AppendUint(dst, uint64(src.Port()), 10)
	}
	return dst
}
