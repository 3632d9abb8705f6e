package flow

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// An idle tls.Conn keeps what it once needed: the buffer of the ClientHello and that of the longest record, 3.6 KiB
// of the 12 that a silent phone costs. So the buffers are taken out while nothing is in them, and records are read
// into one that all readers share. crypto/tls offers no way to do that; the fields are found by name and type, and
// if a future version has others, everything stays as it is there. TestSlimFields notices.

// slimFields are the offsets of the buffers in a tls.Conn.
type slimFields struct {
	rawInput uintptr // bytes.Buffer: records from the socket
	input    uintptr // bytes.Reader: plain text not yet read, within rawInput
	hand     uintptr // bytes.Buffer: handshake messages
	ok       bool
}

var slim = findSlimFields()

func findSlimFields() (f slimFields) {
	t := reflect.TypeFor[tls.Conn]()
	raw, ok1 := t.FieldByName("rawInput")
	input, ok2 := t.FieldByName("input")
	hand, ok3 := t.FieldByName("hand")
	buffer, reader := reflect.TypeFor[bytes.Buffer](), reflect.TypeFor[bytes.Reader]()
	if !ok1 || !ok2 || !ok3 || raw.Type != buffer || input.Type != reader || hand.Type != buffer {
		return f
	}
	return slimFields{raw.Offset, input.Offset, hand.Offset, true}
}

func field[T any](c *tls.Conn, offset uintptr) *T { return (*T)(unsafe.Add(unsafe.Pointer(c), offset)) }

// lend gives c a buffer to read records into, for the time of a batch. The caller is c's only reader.
func (f *slimFields) lend(c *tls.Conn, b *bytes.Buffer) {
	if !f.ok {
		return
	}
	raw := field[bytes.Buffer](c, f.rawInput)
	b.Reset()
	b.Write(raw.Bytes()) // the beginning of a record
	*raw, *b = *b, bytes.Buffer{}
}

// reclaim takes the buffer back. Half a record that is in it stays, in memory of its size.
func (f *slimFields) reclaim(c *tls.Conn, b *bytes.Buffer) {
	if !f.ok {
		return
	}
	raw, input := field[bytes.Buffer](c, f.rawInput), field[bytes.Reader](c, f.input)
	if input.Len() > 0 { // in the middle of a record: reading failed, or the flow is closed
		return
	}
	*b = *raw
	*input = bytes.Reader{}
	*raw = bytes.Buffer{}
	if b.Len() > 0 {
		*raw = *bytes.NewBuffer(bytes.Clone(b.Bytes()))
	}
	if hand := field[bytes.Buffer](c, f.hand); hand.Len() == 0 && hand.Cap() > 0 {
		*hand = bytes.Buffer{}
	}
}
