package message

import (
	"bytes"
	"strconv"
	"time"

	"parley/internal/sip"
)

// storable reports whether a message makes sense later. Typing indications (RFC
// 3994) and messages that shall be delivered at once or never (Expires: 0, RFC
// 3428 section 8) do not.
func storable(m *sip.Message) bool {
	if d, ok := m.Expires(); ok && d == 0 {
		return false
	}
	ct, ok := m.ContentType()
	return !ok || !ct.Is("application/im-iscomposing+xml")
}

// origin names a message as its sender numbered it, so that one that is sent
// again after a lost answer is known.
func origin(m *sip.Message) string {
	n, _ := m.CSeq()
	b := append(append([]byte(nil), m.CallID()...), '\n')
	b = append(strconv.AppendUint(b, uint64(n), 10), '\n')
	return string(append(b, m.FromTag()...))
}

// headOf returns the header fields a message is delivered with: as they came,
// without those that belonged to its way here, and with the Date (RFC 3428
// section 8) at which we took it if it has none. Call-ID, CSeq and From tag
// stay, so every attempt to deliver it is recognisable as the same message.
func headOf(m *sip.Message, now time.Time) []byte {
	var head []byte
	for f := range m.Fields() {
		switch f.ID {
		case sip.HVia, sip.HRoute, sip.HRecordRoute, sip.HPath, sip.HMaxForwards, sip.HMaxBreadth, sip.HContentLength,
			sip.HAuthorization, sip.HProxyAuthorization, sip.HProxyRequire, sip.HTimestamp, sip.HContact,
			sip.HPAssertedIdentity:
			continue
		}
		head = append(head, f.Line...)
	}
	if !m.Has(sip.HDate) {
		head = append(head, "Date: "...)
		head = now.UTC().AppendFormat(head, "Mon, 02 Jan 2006 15:04:05 GMT")
		head = append(head, "\r\n"...)
	}
	return head
}

// request writes the MESSAGE for one contact, without Via, which the stack
// adds.
func (s *stored) request(contact, path string) []byte {
	var b bytes.Buffer
	b.Grow(len(s.Head) + len(s.Body) + len(contact) + len(path) + 100)
	b.WriteString("MESSAGE " + contact + " SIP/2.0\r\n")
	if path != "" {
		b.WriteString("Route: " + path + "\r\n")
	}
	b.WriteString("Max-Forwards: 70\r\n")
	b.Write(s.Head)
	b.WriteString("Content-Length: " + strconv.Itoa(len(s.Body)) + "\r\n\r\n")
	b.Write(s.Body)
	return b.Bytes()
}
