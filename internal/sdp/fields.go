package sdp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MLine is an m= line.
type MLine struct {
	Kind    string // "audio", "video", "application", "message" ...
	Port    uint16 // 0: refused, or no longer used
	Ports   int    // of a hierarchical stream, otherwise 1
	Proto   string // "RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVPF", "TCP/RTP/SAVP" ...
	Formats []string
}

func parseMLine(v string) (MLine, error) {
	f := strings.Fields(v)
	if len(f) < 4 {
		return MLine{}, fmt.Errorf("want m=<media> <port> <protocol> <format> ..., found %d words", len(f))
	}
	port, count, several := strings.Cut(f[1], "/")
	p, err := strconv.ParseUint(port, 10, 16)
	n := uint64(1)
	if err == nil && several {
		n, err = strconv.ParseUint(count, 10, 16)
	}
	if err != nil || n == 0 {
		return MLine{}, fmt.Errorf("port %q", f[1])
	}
	return MLine{f[0], uint16(p), int(n), f[2], f[3:]}, nil
}

// String is the value of the line.
func (m MLine) String() string {
	port := strconv.Itoa(int(m.Port))
	if m.Ports > 1 {
		port += "/" + strconv.Itoa(m.Ports)
	}
	return strings.Join(append([]string{m.Kind, port, m.Proto}, m.Formats...), " ")
}

// NewMedia returns a media description of one line.
func NewMedia(m MLine) *Media {
	return &Media{Lines{NewLine('m', m.String())}, m}
}

// MLine returns the m= line.
func (m *Media) MLine() MLine { return m.m }

// SetMLine changes the m= line. It is written anew, with single spaces.
func (m *Media) SetMLine(l MLine) {
	m.m = l
	m.Lines[0].Value = l.String()
}

// SetPort changes only the port, as a relay does that puts itself between.
func (m *Media) SetPort(port uint16) {
	l := m.m
	l.Port = port
	m.SetMLine(l)
}

// Origin is an o= line. A description with the same origin but for Version is a later one of the same session.
type Origin struct {
	User     string // "-" when there is none
	ID       string // digits
	Version  uint64
	AddrType string // "IP4" or "IP6"
	Address  string
}

// Origin returns the origin of the session.
func (d *Description) Origin() (Origin, error) {
	v, _ := d.Session.First('o')
	f := strings.Fields(v)
	if len(f) != 6 || f[3] != "IN" {
		return Origin{}, wrong(0, "o=%s: want <user> <id> <version> IN <type> <address>", v)
	}
	version, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return Origin{}, wrong(0, "o=%s: the version is no number", v)
	}
	return Origin{f[0], f[1], version, f[4], f[5]}, nil
}

// String is the value of the line.
func (o Origin) String() string {
	return fmt.Sprintf("%s %s %d IN %s %s", o.User, o.ID, o.Version, o.AddrType, o.Address)
}

// SetOrigin changes the origin.
func (d *Description) SetOrigin(o Origin) { d.Session.replace('o', o.String(), "siuepcbtrzka") }

// Connection is a c= line: where media is sent to.
type Connection struct {
	AddrType string // "IP4" or "IP6"
	Address  string // an address, or a name
}

// ConnectionTo is the connection of an address.
func ConnectionTo(a netip.Addr) Connection {
	t := "IP6"
	if a = a.Unmap(); a.Is4() {
		t = "IP4"
	}
	return Connection{t, a.WithZone("").String()}
}

// Addr is the address; ok is false for a name.
func (c Connection) Addr() (a netip.Addr, ok bool) {
	a, err := netip.ParseAddr(c.Address)
	return a, err == nil && a.Zone() == ""
}

// String is the value of the line.
func (c Connection) String() string { return "IN " + c.AddrType + " " + c.Address }

// Connection returns the connection of a medium: its own, or the session's.
func (d *Description) Connection(m *Media) (c Connection, ok bool) {
	v, ok := m.First('c')
	if !ok {
		v, ok = d.Session.First('c')
	}
	f := strings.Fields(v)
	if !ok || len(f) != 3 || f[0] != "IN" || f[1] != "IP4" && f[1] != "IP6" {
		return Connection{}, false
	}
	a, _, _ := strings.Cut(f[2], "/") // of multicast: time to live and count
	return Connection{f[1], a}, true
}

// SetConnection gives a medium a connection of its own.
func (m *Media) SetConnection(c Connection) { m.replace('c', c.String(), "bka") }

// SetConnection changes the connection of the session.
func (d *Description) SetConnection(c Connection) { d.Session.replace('c', c.String(), "btrzka") }

// RTCP returns where RTCP of a medium is sent to: the port after that of RTP unless a=rtcp says otherwise (RFC 3605).
// The address is empty when it is that of RTP.
func (m *Media) RTCP() (port uint16, address string) {
	if v, ok := m.Attr("rtcp"); ok {
		f := strings.Fields(v)
		if len(f) > 0 {
			if p, err := strconv.ParseUint(f[0], 10, 16); err == nil {
				if len(f) == 4 && f[1] == "IN" {
					address = f[3]
				}
				return uint16(p), address
			}
		}
	}
	if m.m.Port == 0 || m.m.Port == 65535 {
		return 0, ""
	}
	return m.m.Port + 1, ""
}

// RTCPMux reports whether RTCP may come to the port of RTP (RFC 5761). An answer says a=rtcp-mux only to an offer that
// does.
func (m *Media) RTCPMux() bool { return m.Has("rtcp-mux") || m.Has("rtcp-mux-only") }

// Direction is which way media flows, from the side that says so.
type Direction uint8

// Directions.
const (
	Inactive Direction = 0
	SendOnly Direction = 1
	RecvOnly Direction = 2
	SendRecv Direction = 3
)

var directions = [4]string{"inactive", "sendonly", "recvonly", "sendrecv"}

// String is the attribute.
func (d Direction) String() string { return directions[d&3] }

// Reverse is the same from the other side.
func (d Direction) Reverse() Direction { return d&1<<1 | d>>1&1 }

// Direction returns that of a medium, or of the session; sendrecv when nobody says (RFC 8866 6.7).
func (d *Description) Direction(m *Media) Direction {
	for _, ls := range []Lines{m.Lines, d.Session} {
		for _, l := range ls {
			for i, name := range directions {
				if _, ok := l.attribute(name); ok {
					return Direction(i)
				}
			}
		}
	}
	return SendRecv
}

// SetDirection changes the direction of a medium.
func (m *Media) SetDirection(to Direction) {
	for i, l := range m.Lines {
		for _, name := range directions {
			if _, ok := l.attribute(name); ok {
				m.Lines[i].Value = to.String()
				return
			}
		}
	}
	m.Add(Attribute(to.String(), ""))
}

// Held reports whether the side that sent d has put a medium on hold: it takes nothing, as its direction says, or
// as phones of RFC 2543 do with the address zero.
func (d *Description) Held(m *Media) bool {
	if d.Direction(m)&RecvOnly == 0 {
		return true
	}
	c, ok := d.Connection(m)
	return ok && c.AddrType == "IP4" && c.Address == "0.0.0.0"
}

// Group is an a=group line (RFC 5888).
type Group struct {
	Semantics string // "BUNDLE"
	MIDs      []string
}

// Groups returns the groups of the session.
func (d *Description) Groups() []Group {
	var gs []Group
	for v := range d.Session.Attrs("group") {
		if f := strings.Fields(v); len(f) > 0 {
			gs = append(gs, Group{f[0], f[1:]})
		}
	}
	return gs
}

// MID is the name of a medium within the session, or "".
func (m *Media) MID() string { v, _ := m.Attr("mid"); return v }
