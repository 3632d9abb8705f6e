package sip_test

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

// Messages come whole out of a stream that brings them a byte at a time, with keep-alives between them.
func TestFramerByteByByte(t *testing.T) {
	var stream []byte
	for _, c := range siptest.Phones() {
		stream = append(stream, c.Raw...)
		stream = append(stream, "\r\n\r\n\r\n"...)
	}
	for _, step := range []int{1, 2, 3, 100, len(stream)} {
		var f sip.Framer
		var messages, pings int
		pos := 0
		for have := min(step, len(stream)); pos < len(stream); have = min(have+step, len(stream)) {
			for pos < have {
				n, kind, err := f.Next(stream[pos:have], nil)
				if err != nil {
					t.Fatal(err)
				}
				if kind == sip.NeedMore {
					break
				}
				switch kind {
				case sip.FrameMessage:
					siptest.ParseBytes(t, stream[pos:pos+n])
					messages++
				case sip.FramePing:
					pings++
				}
				pos += n
			}
		}
		if all := len(siptest.Phones()); messages != all || pings != all {
			t.Errorf("in steps of %d: %d messages and %d pings of %d", step, messages, pings, all)
		}
	}
}

func TestFrameKinds(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		kind sip.FrameKind
	}{
		{"", 0, sip.NeedMore},
		{"\r", 0, sip.NeedMore},
		{"\r\n", 2, sip.FrameCRLF},
		{"\r\n\r", 2, sip.FrameCRLF},
		{"\r\n\r\n", 4, sip.FramePing},
		{"\r\n\r\nX", 4, sip.FramePing},
		{"OPTIONS sip:a SIP/2.0\r\n", 0, sip.NeedMore},
		{"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nab", 34, sip.NeedMore}, // it says how much it wants
		{"OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabcd", 34, sip.FrameMessage},
		{"OPTIONS sip:a SIP/2.0\r\nContent-LENGTH :\r\n 3\r\n\r\nabcd", 50, sip.FrameMessage},
		{"A B C\r\nContact: x\r\nC: y\r\nLx: z\r\nl:0\r\n\r\nabcd", 39, sip.FrameMessage},
	} {
		n, kind, err := sip.Frame([]byte(c.in), nil)
		if n != c.n || kind != c.kind || err != nil {
			t.Errorf("%q: %d %d %v, want %d %d", c.in, n, kind, err, c.n, c.kind)
		}
	}
}

func TestFrameRefusals(t *testing.T) {
	lim := &sip.Limits{MaxMessage: 1000, MaxHead: 600, MaxHeaders: 10, MaxHeaderLine: 200, MaxBody: 500}
	const start = "OPTIONS sip:a SIP/2.0\r\n"
	for name, c := range map[string]struct {
		in   string
		code int
	}{
		"no Content-Length (RFC 3261 18.3)": {start + "To: x\r\n\r\n", 400},
		"two Content-Lengths":               {start + "l: 0\r\nContent-Length: 0\r\n\r\n", 400},
		"two equal Content-Lengths":         {start + "l: 0\r\nl: 0\r\n\r\n", 400},
		"negative Content-Length":           {start + "l: -1\r\n\r\n", 400},
		"empty Content-Length":              {start + "l:\r\n\r\n", 400},
		"huge Content-Length":               {start + "l: 4294967295\r\n\r\n", 413},
		"Content-Length beyond 64 bits":     {start + "l: 99999999999999999999999\r\n\r\n", 413},
		"Content-Length without colon":      {start + "l 1\r\n\r\n", 400},
		"body too large":                    {start + "l: 501\r\n\r\n", 413},
		"message too large":                 {start + strings.Repeat("X: "+strings.Repeat("x", 150)+"\r\n", 3) + "X: y\r\nl: 499\r\n\r\n", 513},
		"line too long, not ended":          {start + "X: " + strings.Repeat("x", 250), 513},
		"line too long":                     {start + "X: " + strings.Repeat("x", 250) + "\r\n", 513},
		"head too long":                     {start + strings.Repeat("X: y\r\n", 100), 513},
		"CR alone":                          {"\rX", 400},
	} {
		_, kind, err := sip.Frame([]byte(c.in), lim)
		var pe *sip.ParseError
		if !errors.As(err, &pe) || pe.Code != c.code || kind != sip.NeedMore {
			t.Errorf("%s: %v, want %d", name, err, c.code)
		}
	}
}

// A stream whose framing is lost after a whole head still gets its 400.
func TestFrameErrorIsAnswerable(t *testing.T) {
	raw := []byte(strings.Replace(string(siptest.Text(good)), "Content-Length: 0\r\n", "", 1))
	n, _, err := sip.Frame(raw, nil)
	if err == nil || n != len(raw) {
		t.Fatal(n, err)
	}
	var m sip.Message
	m.Parse(raw[:n], nil)
	if !m.Answerable() {
		t.Error("not answerable")
	}
}

// A peer that sends one byte at a time costs one byte's work at a time: the framer never asks for less than it
// has seen, and does not allocate.
func TestFramerSlowSender(t *testing.T) {
	raw := siptest.Raw("invite_sdp")
	n := testing.AllocsPerRun(10, func() {
		var f sip.Framer
		for have := 1; have <= len(raw); have++ {
			if n, kind, err := f.Next(raw[:have], nil); err != nil || (kind == sip.FrameMessage) != (have == len(raw)) || n != 0 && n != len(raw) {
				t.Fatal(have, n, kind, err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
