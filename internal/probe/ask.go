package probe

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// askSIP sends OPTIONS (RFC 3261 section 11) and takes any final response for an answer: a server that knows nobody
// here still speaks SIP.
func askSIP(conn net.Conn, p Probe, local netip.Addr) error {
	from := conn.LocalAddr().String()
	if local.IsValid() {
		from = netip.AddrPortFrom(local, 0).Addr().String()
	}
	transport := "TCP"
	if p.Method == SIPS {
		transport = "TLS"
	}
	id := rand.Text()
	host := from
	if h, _, err := net.SplitHostPort(from); err == nil {
		host = h
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	fmt.Fprintf(conn, "OPTIONS sip:%s:%d SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 0\r\n"+
		"From: <sip:probe@%s>;tag=%s\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		p.Host, p.Port, transport, host, id, host, id[:8], p.Host, id)
	line, err := bufio.NewReaderSize(conn, 4096).ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "SIP/2.0 ") {
		return wrong("sip: answered %q", strings.TrimSpace(string(line[:min(len(line), 60)])))
	}
	return nil
}

// askHTTP sends HEAD / and takes any response for an answer.
func askHTTP(conn net.Conn, p Probe) error {
	req, err := http.NewRequest(http.MethodHead, "http://"+p.Host+"/", nil)
	if err != nil {
		return err
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// askUDP sends a packet and waits for one. STUN is what media ports and relays answer, so it also serves where no
// protocol is known.
func askUDP(conn net.Conn, p Probe) error {
	var packet []byte
	switch p.Method {
	case SSRP:
		packet = []byte{3} // all instances, to one server
	case DHCP:
		packet = dhcpInform(conn)
	default:
		packet = binding()
	}
	buf := make([]byte, 1500)
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	if p.Method == STUN && (n < 20 || binary.BigEndian.Uint16(buf) != 0x0101 && binary.BigEndian.Uint16(buf) != 0x0111) {
		return wrong("stun: answered with something else")
	}
	return nil
}

// binding is a STUN binding request (RFC 8489 section 5).
func binding() []byte {
	b := make([]byte, 20)
	b[1] = 1
	binary.BigEndian.PutUint32(b[4:], 0x2112A442)
	rand.Read(b[8:])
	return b
}

// dhcpInform asks a DHCP server for settings and for no address (RFC 2131 section 4.4.3).
func dhcpInform(conn net.Conn) []byte {
	b := make([]byte, 240, 260)
	b[0], b[1], b[2] = 1, 1, 6
	rand.Read(b[4:8])
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		copy(b[12:16], a.IP.To4())
	}
	rand.Read(b[28:34])
	b[28] = 2 // a local address of nobody
	copy(b[236:], []byte{99, 130, 83, 99})
	return append(b, 53, 1, 8, 55, 2, 43, 120, 255)
}
