package sip

// Via is one value of a Via field (RFC 3261 section 20.42). Its parts are slices of the bytes it was parsed
// from.
type Via struct {
	Raw       []byte
	Transport []byte // as written
	Host      []byte // sent-by host; an IPv6 address has its brackets
	Port      uint16 // sent-by port, 0 when absent
	RPort     uint16 // value of rport, 0 when absent or empty
	HasRPort  bool   // rport is there, with or without value (RFC 3581)
	Branch    []byte // nil when absent, as from RFC 2543 elements
	Received  []byte
	Params    Params
}

// MagicCookie begins the branch of every element that follows RFC 3261 (section 8.1.1.7).
const MagicCookie = "z9hG4bK"

// ParseVia reads b, one value of a Via field, into v.
func ParseVia(b []byte, v *Via) error {
	if e := parseVia(b, v); e != nil {
		return e
	}
	return nil
}

func parseVia(b []byte, v *Via) *ParseError {
	*v = Via{Raw: b}
	i := 0
	// The usual spelling first; white space is allowed around both slashes.
	if len(b) > 8 && string(b[:8]) == "SIP/2.0/" {
		i = 8
	} else if j := scanProtocol(b); j > 0 {
		i = j
	} else {
		return bad(0, "SIP/2.0/ and a transport")
	}
	i = skipLWS(b, i)
	start := i
	for i < len(b) && is(b[i], cToken) {
		i++
	}
	v.Transport = b[start:i:i]
	if i == start {
		return bad(i, "a transport")
	}
	start = i
	if i = skipLWS(b, i); i == start {
		return bad(i, "white space after the transport")
	}
	start = i
	i, e := scanHost(b, i)
	if e != nil {
		return e
	}
	v.Host = b[start:i:i]
	i = skipLWS(b, i)
	if i < len(b) && b[i] == ':' {
		i = skipLWS(b, i+1)
		start = i
		for i < len(b) && digit(b[i]) {
			i++
		}
		port, ok := parsePort(b[start:i])
		if !ok {
			return bad(start, "a port from 1 to 65535")
		}
		v.Port = port
	}
	v.Params = Params(b[i:])
	return v.readParams(b, i)
}

func (v *Via) readParams(b []byte, i int) *ParseError {
	for i = skipLWS(b, i); i < len(b); {
		name, value, next := scanParam(b, i)
		if next < 0 {
			return bad(^next, "a Via parameter")
		}
		switch {
		case len(name) == 6 && equalFold(name, "branch"):
			v.Branch = value
		case len(name) == 5 && equalFold(name, "rport"):
			v.HasRPort = true
			if len(value) > 0 {
				port, ok := parsePort(value)
				if !ok {
					return bad(i, "a port in rport")
				}
				v.RPort = port
			}
		case len(name) == 8 && equalFold(name, "received"):
			v.Received = value
		}
		i = next
	}
	return nil
}

// scanProtocol reads "SIP / 2.0 /" with white space and in any case and returns the index after it, or -1.
func scanProtocol(b []byte) int {
	i := skipLWS(b, 0)
	for _, part := range [...]string{"SIP", "/", "2.0", "/"} {
		if len(b)-i < len(part) || !equalFold(b[i:i+len(part)], part) {
			return -1
		}
		i = skipLWS(b, i+len(part))
	}
	return i
}

// Magic reports whether the branch was made by an element that follows RFC 3261: the cookie and something
// after it.
func (v *Via) Magic() bool {
	return len(v.Branch) > len(MagicCookie) && equalFold(v.Branch[:len(MagicCookie)], MagicCookie)
}

// SentBy returns host and port of the sent-by, which RFC 3261 section 17.2.3 makes part of a transaction's key.
func (v *Via) SentBy() (host []byte, port uint16) { return v.Host, v.Port }
