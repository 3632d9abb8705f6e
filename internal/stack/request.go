package stack

import (
	"bytes"

	"parley/internal/flow"
	"parley/internal/sip"
)

// Request sends msg, a complete request without Via, which must not be changed any more, and calls on for each
// response, or once with an error instead of a final one: see Outgoing.
func (s *Stack) Request(msg []byte, dst Destination, on func(tx *ClientTxn, m *sip.Message, err error)) *ClientTxn {
	name, _, _ := bytes.Cut(msg, []byte{' '})
	return s.Send(&plain{msg: msg, on: on}, sip.MethodOf(name), dst)
}

// plain is the Outgoing of Request.
type plain struct {
	msg []byte
	on  func(*ClientTxn, *sip.Message, error)
}

// AppendRequest puts our Via after the request line.
func (p *plain) AppendRequest(dst []byte, hop Hop) []byte {
	line := bytes.IndexByte(p.msg, '\n') + 1
	dst = append(dst, p.msg[:line]...)
	dst = append(dst, "Via: "...)
	dst = append(dst, hop.Via...)
	dst = append(dst, '\r', '\n')
	return append(dst, p.msg[line:]...)
}

func (p *plain) Response(tx *ClientTxn, _ *flow.Flow, m *sip.Message) {
	if p.on != nil {
		p.on(tx, m, nil)
	}
}

func (p *plain) Failed(tx *ClientTxn, err error) {
	if p.on != nil {
		p.on(tx, nil, err)
	}
}
