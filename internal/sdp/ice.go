package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ICE is the credentials of an agent and what it says of itself (RFC 8839 5).
type ICE struct {
	Ufrag, Pwd string
	Lite       bool
	Options    []string // "trickle", "ice2", "renomination"
}

// ICE returns what holds for a medium: its own credentials, or those of the session. ok is false without both, or
// with ones that are too long (RFC 8839 5.4 has 256). Lync clients have four and twenty-four characters; shorter
// ones than RFC 8839 wants are not refused here.
func (d *Description) ICE(m *Media) (i ICE, ok bool) {
	get := func(name string) string {
		if v, ok := m.Attr(name); ok {
			return v
		}
		v, _ := d.Session.Attr(name)
		return v
	}
	i = ICE{Ufrag: get("ice-ufrag"), Pwd: get("ice-pwd"), Lite: d.Session.Has("ice-lite"), Options: strings.Fields(get("ice-options"))}
	return i, i.Ufrag != "" && i.Pwd != "" && len(i.Ufrag) <= 256 && len(i.Pwd) <= 256
}

// Restarts reports whether after asks for a restart of ICE: both credentials have changed (RFC 8839 4.4.3.1.1).
func (i ICE) Restarts(after ICE) bool { return i.Ufrag != after.Ufrag && i.Pwd != after.Pwd }

// Candidate is an a=candidate line. Transports keep their spelling: "udp" and "UDP", and the TCP-PASS and TCP-ACT of
// Lync clients, where others have "tcp" and a tcptype.
type Candidate struct {
	Foundation string
	Component  int // 1 RTP, 2 RTCP
	Transport  string
	Priority   uint32
	Address    string // an address, or a name ending in .local
	Port       uint16
	Type       string // "host", "srflx", "prflx", "relay"
	RelAddress string // "" for none
	RelPort    uint16
	Extensions string // what follows, as it is: "tcptype passive generation 0"
}

// ErrOldCandidate is returned for a candidate of ICE draft 6, which Lync clients offer to OCS 2007.
var ErrOldCandidate = errors.New("candidate of ICE draft 6")

// ParseCandidate reads the value of a candidate attribute, of RFC 8839 5.1.
func ParseCandidate(v string) (Candidate, error) {
	f := strings.Fields(v)
	bad := func(what string) (Candidate, error) { return Candidate{}, fmt.Errorf("candidate %q: %s", v, what) }
	if len(f) == 7 && strings.HasPrefix(f[4], "0.") {
		return Candidate{}, ErrOldCandidate
	}
	if len(f) < 8 || f[6] != "typ" {
		return bad("want <foundation> <component> <transport> <priority> <address> <port> typ <type>")
	}
	component, err := strconv.ParseUint(f[1], 10, 16)
	if err != nil || component < 1 || component > 256 {
		return bad("component")
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return bad("priority")
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil {
		return bad("port")
	}
	if len(f[0]) > 32 {
		return bad("foundation")
	}
	c := Candidate{
		Foundation: f[0], Component: int(component), Transport: f[2], Priority: uint32(priority),
		Address: f[4], Port: uint16(port), Type: f[7],
	}
	rest := f[8:]
	if len(rest) >= 2 && rest[0] == "raddr" {
		c.RelAddress = rest[1]
		rest = rest[2:]
		if len(rest) >= 2 && rest[0] == "rport" {
			p, err := strconv.ParseUint(rest[1], 10, 16)
			if err != nil {
				return bad("rport")
			}
			c.RelPort = uint16(p)
			rest = rest[2:]
		}
	}
	c.Extensions = strings.Join(rest, " ")
	return c, nil
}

// Candidates returns those of a medium that can be read; others are passed over, as RFC 8839 5.1 wants.
func (m *Media) Candidates() []Candidate {
	var cs []Candidate
	for v := range m.Attrs("candidate") {
		if c, err := ParseCandidate(v); err == nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// Addr is the address and port; ok is false for a name.
func (c Candidate) Addr() (a netip.AddrPort, ok bool) {
	ip, err := netip.ParseAddr(c.Address)
	return netip.AddrPortFrom(ip, c.Port), err == nil && ip.Zone() == ""
}

// String is the value of the attribute.
func (c Candidate) String() string {
	s := fmt.Sprintf("%s %d %s %d %s %d typ %s", c.Foundation, c.Component, c.Transport, c.Priority, c.Address, c.Port, c.Type)
	if c.RelAddress != "" {
		s += fmt.Sprintf(" raddr %s rport %d", c.RelAddress, c.RelPort)
	}
	if c.Extensions != "" {
		s += " " + c.Extensions
	}
	return s
}
