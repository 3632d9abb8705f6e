// Package phone is a small SIP phone for tests and load runs, written apart from the product on purpose:
// it shares no code with what it tests, and it can be as rude as a test wants it to be.
//
// A Phone is one connection (or one UDP socket) and one user. It has no goroutine of its own; a test reads
// with [Phone.Receive] what the server sends. A Phone is used by one goroutine at a time.
package phone

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Account is who a phone is.
type Account struct{ User, Password, Domain string }

// AOR is the address of record, "user@domain".
func (a Account) AOR() string { return a.User + "@" + a.Domain }

// Phone is one user on one connection.
type Phone struct {
	Account
	Conn      net.Conn
	Transport string // "udp", "tcp", "tls"

	r       *bufio.Reader
	pending []*Message // requests that came while a response was awaited
	callID  string
	cseq    int
}

var serial atomic.Int64

// Unique returns a token that no other call in this process returns.
func Unique() string { return fmt.Sprintf("%dx%d", os.Getpid(), serial.Add(1)) }

// Dial connects to addr over "udp", "tcp" or "tls".
func Dial(ctx context.Context, a Account, transport, addr string, conf *tls.Config) (*Phone, error) {
	return DialFrom(ctx, a, transport, netip.AddrPort{}, addr, conf)
}

// DialFrom is Dial from a given local address.
func DialFrom(ctx context.Context, a Account, transport string, local netip.AddrPort, addr string, conf *tls.Config) (*Phone, error) {
	var d net.Dialer
	network := "tcp"
	if transport == "udp" {
		network = "udp"
	}
	if local.IsValid() {
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		}
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if transport == "tls" {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	return New(a, transport, c), nil
}

// New makes a phone of a connection that exists.
func New(a Account, transport string, c net.Conn) *Phone {
	p := &Phone{Account: a, Conn: c, Transport: transport, callID: Unique()}
	if transport != "udp" {
		p.r = bufio.NewReaderSize(c, 2048)
	}
	return p
}

// Close drops the connection without a word.
func (p *Phone) Close() error { return p.Conn.Close() }

// Local is the address the server sees.
func (p *Phone) Local() string { return p.Conn.LocalAddr().String() }

// Contact is the phone's contact URI.
func (p *Phone) Contact() string {
	return fmt.Sprintf("sip:%s@%s;transport=%s", p.User, p.Local(), p.Transport)
}

// Request makes a request of this phone to uri, out of any dialog, with all headers it needs.
func (p *Phone) Request(method, uri, to string, extra ...Header) *Message {
	p.cseq++
	callID := Unique() + "@phone"
	if method == "REGISTER" {
		callID = p.callID
	}
	m := &Message{Start: method + " " + uri + " SIP/2.0", Headers: []Header{
		{"Via", fmt.Sprintf("SIP/2.0/%s %s;rport;branch=z9hG4bK%s", strings.ToUpper(p.Transport), p.Local(), Unique())},
		{"Max-Forwards", "70"},
		{"From", fmt.Sprintf("<sip:%s>;tag=%s", p.AOR(), Unique())},
		{"To", "<" + to + ">"},
		{"Call-ID", callID},
		{"CSeq", fmt.Sprintf("%d %s", p.cseq, method)},
	}}
	m.Headers = append(m.Headers, extra...)
	return m
}

// Write sends raw bytes.
func (p *Phone) Write(s string) error {
	_, err := p.Conn.Write([]byte(s))
	return err
}

// Send sends a message.
func (p *Phone) Send(m *Message) error { return p.Write(m.String()) }

// Receive returns the next message from the server, requests that were set aside first.
func (p *Phone) Receive(ctx context.Context) (*Message, error) {
	if len(p.pending) > 0 {
		m := p.pending[0]
		p.pending = p.pending[1:]
		return m, nil
	}
	return p.read(ctx)
}

func (p *Phone) read(ctx context.Context) (*Message, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Time{}
	}
	if err := p.Conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = p.Conn.SetReadDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	defer func() {
		if !stop() {
			<-interrupted // or it would end the next read
		}
	}()
	if p.r != nil {
		return readMessage(p.r)
	}
	var buf [65536]byte
	for {
		n, err := p.Conn.Read(buf[:])
		if err != nil {
			return nil, err
		}
		m, err := parseDatagram(buf[:n])
		if errors.Is(err, errEmpty) {
			continue
		}
		return m, err
	}
}

// Final sends m and returns its final response. On UDP m is repeated as RFC 3261 17.1 asks. Requests
// that come meanwhile wait for Receive; responses to other requests are dropped.
func (p *Phone) Final(ctx context.Context, m *Message) (*Message, error) {
	if err := p.Send(m); err != nil {
		return nil, err
	}
	repeat := 500 * time.Millisecond
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if p.Transport == "udp" {
			wait, cancel = context.WithTimeout(ctx, repeat)
		}
		got, err := p.read(wait)
		cancel()
		if err != nil {
			if p.Transport == "udp" && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
				repeat = min(2*repeat, 4*time.Second)
				if err := p.Send(m); err != nil {
					return nil, err
				}
				continue
			}
			return nil, fmt.Errorf("waiting for the answer to %q: %w", m.Start, err)
		}
		switch {
		case got.Code() == 0:
			p.pending = append(p.pending, got)
		case got.Code() >= 200 && got.Get("Call-ID") == m.Get("Call-ID") && got.Get("CSeq") == m.Get("CSeq"):
			return got, nil
		}
	}
}

// Do is Final, and answers a 401 or 407 with the phone's password once.
func (p *Phone) Do(ctx context.Context, m *Message) (*Message, error) {
	got, err := p.Final(ctx, m)
	if err != nil || got.Code() != 401 && got.Code() != 407 {
		return got, err
	}
	method, uri, _ := strings.Cut(strings.TrimSuffix(m.Start, " SIP/2.0"), " ")
	auth, err := credentials(got, method, uri, p.User, p.Password)
	if err != nil {
		return got, err
	}
	if method == "INVITE" {
		if err := p.Send(AckOf(m, got)); err != nil {
			return nil, err
		}
	}
	p.cseq++
	again := &Message{Start: m.Start, Body: m.Body}
	for _, h := range m.Headers {
		switch h.Name {
		case "CSeq":
			h.Value = fmt.Sprintf("%d %s", p.cseq, method)
		case "Via":
			h.Value = h.Value[:strings.Index(h.Value, "branch=")] + "branch=z9hG4bK" + Unique()
		}
		again.Headers = append(again.Headers, h)
	}
	again.Headers = append(again.Headers, auth)
	return p.Final(ctx, again)
}

// AckOf is the ACK to a refusal of the INVITE m: same branch, To of the response (RFC 3261 17.1.1.3).
func AckOf(m, response *Message) *Message {
	_, uri, _ := strings.Cut(m.Start, " ")
	ack := &Message{Start: "ACK " + uri}
	for _, h := range m.Headers {
		switch h.Name {
		case "Via", "Max-Forwards", "From", "Call-ID", "Route":
			ack.Headers = append(ack.Headers, h)
		case "To":
			ack.Headers = append(ack.Headers, Header{"To", response.Get("To")})
		case "CSeq":
			n, _, _ := strings.Cut(h.Value, " ")
			ack.Headers = append(ack.Headers, Header{"CSeq", n + " ACK"})
		}
	}
	return ack
}

// Register signs the phone in for expires seconds (0 signs out). An error names any final answer but 200.
func (p *Phone) Register(ctx context.Context, expires int, extra ...Header) error {
	headers := append([]Header{{"Contact", "<" + p.Contact() + ">"}, {"Expires", fmt.Sprint(expires)}}, extra...)
	got, err := p.Do(ctx, p.Request("REGISTER", "sip:"+p.Domain, "sip:"+p.AOR(), headers...))
	if err != nil {
		return err
	}
	if got.Code() != 200 {
		return fmt.Errorf("REGISTER of %s: %s", p.AOR(), got.Start)
	}
	return nil
}

// Message sends text to a user and returns the final status.
func (p *Phone) Message(ctx context.Context, to, text string) (int, error) {
	m := p.Request("MESSAGE", "sip:"+to, "sip:"+to, Header{"Content-Type", "text/plain"})
	m.Body = text
	got, err := p.Do(ctx, m)
	if err != nil {
		return 0, err
	}
	return got.Code(), nil
}

// Reader is where the server's bytes come from on a stream, for a caller that takes the connection over.
func (p *Phone) Reader() io.Reader { return p.r }
