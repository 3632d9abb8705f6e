package sip_test

import (
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/sip"
)

// A message is parsed where it lies, read through views of its bytes, and answered.
func ExampleMessage() {
	raw := []byte("REGISTER sip:example.test SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP phone.invalid;branch=z9hG4bKnashds7;rport\r\n" +
		"From: Alice <sip:alice@example.test>;tag=456248\r\n" +
		"To: <sip:Alice@Example.test>\r\n" +
		"Call-ID: 843817637684230\r\n" +
		"CSeq: 1826 REGISTER\r\n" +
		"m: <sip:alice@192.0.2.4>;expires=600, <sip:alice@192.0.2.5>\r\n" +
		"Content-Length: 0\r\n\r\n")
	var m sip.Message
	if err := m.Parse(raw, nil); err != nil {
		fmt.Println(err)
		return
	}
	m.Source = netip.MustParseAddrPort("192.0.2.4:5060")
	for contact := range m.All(sip.HContact) {
		var n sip.NameAddr
		if sip.ParseNameAddr(contact, &n) == nil {
			expires, ok := n.Expires()
			fmt.Printf("%s %d %v\n", n.URI, expires, ok)
		}
	}
	var u sip.URI
	to, _ := m.To()
	to.ParseURI(&u)
	aor, _ := u.AOR()
	fmt.Println(aor)
	show(sip.AppendResponse(nil, &m, 404, "", "1c2d", sip.Header{Name: "Server", Value: "parley"}))
	// Output:
	// sip:alice@192.0.2.4 600 true
	// sip:alice@192.0.2.5 0 false
	// alice@example.test
	// SIP/2.0 404 Not Found
	// Via: SIP/2.0/UDP phone.invalid;branch=z9hG4bKnashds7;received=192.0.2.4;rport=5060
	// From: Alice <sip:alice@example.test>;tag=456248
	// To: <sip:Alice@Example.test>;tag=1c2d
	// Call-ID: 843817637684230
	// CSeq: 1826 REGISTER
	// Server: parley
	// Content-Length: 0
}

// A stream is cut into messages and keep-alives.
func ExampleFramer() {
	stream := []byte("\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nhi\r\nOPTI")
	var f sip.Framer
	for {
		n, kind, err := f.Next(stream, nil)
		if kind == sip.NeedMore || err != nil {
			fmt.Println("waiting", err)
			return
		}
		fmt.Printf("%v %q\n", kind, stream[:n])
		stream = stream[n:]
	}
	// Output:
	// ping "\r\n\r\n"
	// message "OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nhi"
	// CRLF "\r\n"
	// waiting <nil>
}

// A proxy copies a request once and changes only what it must.
func ExampleAppendForward() {
	var m sip.Message
	m.Parse([]byte("BYE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nMax-Forwards: 9\r\n"+
		"Route: <sip:us;lr>,<sip:them;lr>\r\nf:<sip:a>;tag=1\r\nt:<sip:b>;tag=2\r\ni:x\r\nCSeq: 2 BYE\r\nl: 0\r\n\r\n"), nil)
	show(sip.AppendForward(nil, &m, &sip.ForwardEdit{Via: []byte("SIP/2.0/TLS us;branch=z9hG4bK2"), RemoveRoutes: 1}))
	// Output:
	// BYE sip:bob@example.test SIP/2.0
	// Via: SIP/2.0/TLS us;branch=z9hG4bK2
	// Via: SIP/2.0/TCP a;branch=z9hG4bK1
	// Max-Forwards: 8
	// Route: <sip:them;lr>
	// f:<sip:a>;tag=1
	// t:<sip:b>;tag=2
	// i:x
	// CSeq: 2 BYE
	// l: 0
}

func show(message []byte) { fmt.Print(strings.ReplaceAll(string(message), "\r\n", "\n")) }
