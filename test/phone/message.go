package phone

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Header is one header line, name as spelled on the wire.
type Header struct{ Name, Value string }

// Message is a request or response, split into lines and nothing more.
type Message struct {
	Start   string // request line or status line
	Headers []Header
	Body    string
}

// Get returns the first value of a header (long names only), or "".
func (m *Message) Get(name string) string {
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Set replaces the value of the first line of a header, or adds one.
func (m *Message) Set(name, value string) {
	for i, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			m.Headers[i].Value = value
			return
		}
	}
	m.Headers = append(m.Headers, Header{name, value})
}

// All returns the values of every line of a header, in order.
func (m *Message) All(name string) []string {
	var vs []string
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			vs = append(vs, h.Value)
		}
	}
	return vs
}

// Method returns the method of a request, or "" for a response.
func (m *Message) Method() string {
	if m.Code() != 0 {
		return ""
	}
	method, _, _ := strings.Cut(m.Start, " ")
	return method
}

// Code returns the status of a response, or 0 for a request.
func (m *Message) Code() int {
	rest, ok := strings.CutPrefix(m.Start, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(rest[:3])
	return n
}

// String is the message as it goes on the wire, with a Content-Length that fits.
func (m *Message) String() string {
	var b strings.Builder
	b.WriteString(m.Start)
	b.WriteString("\r\n")
	for _, h := range m.Headers {
		if !strings.EqualFold(h.Name, "Content-Length") {
			fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(m.Body), m.Body)
	return b.String()
}

// Reply makes the response to m. A To tag is added where m has none.
func (m *Message) Reply(code int, reason, tag string, extra ...Header) *Message {
	r := &Message{Start: fmt.Sprintf("SIP/2.0 %d %s", code, reason)}
	for _, h := range m.Headers {
		switch strings.ToLower(h.Name) {
		case "via", "from", "call-id", "cseq", "record-route":
			r.Headers = append(r.Headers, h)
		case "to":
			if !strings.Contains(strings.ToLower(h.Value), ";tag=") && code > 100 {
				h.Value += ";tag=" + tag
			}
			r.Headers = append(r.Headers, h)
		}
	}
	r.Headers = append(r.Headers, extra...)
	return r
}

var errEmpty = errors.New("keep-alive")

// readMessage reads one message from a stream. Keep-alive lines between messages are skipped.
func readMessage(r *bufio.Reader) (*Message, error) {
	var m Message
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		if m.Start == "" {
			m.Start = line // still "" for a keep-alive
			continue
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("not a header line: %q", line)
		}
		m.Headers = append(m.Headers, Header{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	n, err := strconv.Atoi(m.Get("Content-Length"))
	if err != nil || n < 0 || n > 1<<20 {
		return nil, fmt.Errorf("Content-Length %q in %q", m.Get("Content-Length"), m.Start)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	m.Body = string(body)
	return &m, nil
}

// parseDatagram reads one message from a datagram.
func parseDatagram(b []byte) (*Message, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, errEmpty
	}
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return nil, errors.New("no end of headers in datagram")
	}
	var m Message
	for i, line := range strings.Split(string(head), "\r\n") {
		if i == 0 {
			m.Start = line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("not a header line: %q", line)
		}
		m.Headers = append(m.Headers, Header{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	m.Body = string(body)
	return &m, nil
}
