package sip

// CallID returns the Call-ID, empty when there is none.
func (m *Message) CallID() []byte { return m.Header(HCallID) }

// CSeq returns number and method of the CSeq.
func (m *Message) CSeq() (uint32, Method) { return m.cseq, m.cseqMethod }

// CSeqMethodName returns the method of the CSeq as it is spelled.
func (m *Message) CSeqMethodName() []byte { return m.cseqName.of(m.raw) }

// MaxForwards returns the value of Max-Forwards, or -1 when there is none.
func (m *Message) MaxForwards() int { return int(m.maxFwd) }

// TopVia returns the topmost Via.
func (m *Message) TopVia() (Via, error) {
	var v Via
	vals := m.Values(HVia)
	b, _ := vals.Next()
	err := ParseVia(b, &v)
	return v, err
}

// From returns the From field as an address.
func (m *Message) From() (NameAddr, error) { return m.addr(HFrom) }

// To returns the To field as an address.
func (m *Message) To() (NameAddr, error) { return m.addr(HTo) }

func (m *Message) addr(id HeaderID) (NameAddr, error) {
	var n NameAddr
	err := ParseNameAddr(m.Header(id), &n)
	return n, err
}

// FromTag returns the tag of From, nil when there is none.
func (m *Message) FromTag() []byte { return tagOf(m.Header(HFrom)) }

// ToTag returns the tag of To, nil when there is none.
func (m *Message) ToTag() []byte { return tagOf(m.Header(HTo)) }

func tagOf(v []byte) []byte {
	var n NameAddr
	if v == nil || ParseNameAddr(v, &n) != nil {
		return nil
	}
	tag, _ := n.Params.Get("tag")
	return tag
}

// Expires returns the number of seconds of the Expires field, and false when it is missing or not a number.
// A number that does not fit is 2^32-1 (RFC 4475 section 3.1.2.4).
func (m *Message) Expires() (uint32, bool) { return m.Seconds(HExpires) }

// Seconds returns the number a field such as Expires, Min-Expires, Session-Expires or Retry-After begins with;
// parameters may follow.
func (m *Message) Seconds(id HeaderID) (uint32, bool) {
	v := m.Header(id)
	i := 0
	for i < len(v) && digit(v[i]) {
		i++
	}
	if j := skipLWS(v, i); j < len(v) && v[j] != ';' && v[j] != '(' {
		return 0, false
	}
	n, _, ok := parseUint(v[:i])
	return n, ok
}
