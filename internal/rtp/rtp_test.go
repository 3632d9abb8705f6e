package rtp

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// packet is what baresip and Chromium might send: two contributing sources, elements 1 and 3 of one octet and three.
func packet() []byte {
	b := Header{Marker: true, Type: 111, Seq: 65535, Timestamp: 1 << 31, SSRC: 0xC0FFEE}.Append(nil)
	b[0] |= 0x10 | 2
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 2)                            // CSRC
	b = append(b, 0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0x32, 1, 2, 3, 0, 0) // elements, padding
	return append(b, "payload"...)
}

func TestPacket(t *testing.T) {
	p, err := Parse(packet())
	if err != nil {
		t.Fatal(err)
	}
	if !p.Marker() || p.Type() != 111 || p.Seq() != 65535 || p.Timestamp() != 1<<31 || p.SSRC() != 0xC0FFEE ||
		p.CSRCs() != 2 || p.CSRC(1) != 2 || string(p.Payload()) != "payload" || p.Padding() != 0 {
		t.Errorf("%+v", p)
	}
	p.SetMarker(false)
	p.SetType(0)
	p.SetSeq(7)
	p.SetTimestamp(8)
	p.SetSSRC(9)
	if h := (Header{Seq: 7, Timestamp: 8, SSRC: 9}).Append(nil); !bytes.Equal(p.Bytes()[1:12], h[1:]) {
		t.Errorf("% x", p.Bytes()[:12])
	}
}

func TestPadding(t *testing.T) {
	b := append(Header{}.Append(nil), 'x', 0, 0, 3)
	b[0] |= 0x20
	p, err := Parse(b)
	if err != nil || string(p.Payload()) != "x" || p.Padding() != 3 {
		t.Errorf("%q %d %v", p.Payload(), p.Padding(), err)
	}
	for _, n := range []byte{0, 5} {
		b[len(b)-1] = n
		if _, err := Parse(b); !errors.Is(err, ErrPadding) {
			t.Errorf("padding of %d: %v", n, err)
		}
	}
}

func TestRefused(t *testing.T) {
	whole := packet()
	for n := range len(whole) - len("payload") {
		if _, err := Parse(whole[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	whole[0] &= 0x3F
	if _, err := Parse(whole); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}

func TestElements(t *testing.T) {
	view := func(b []byte) Packet {
		p, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := view(packet())
	if v, ok := p.Element(3); !ok || !bytes.Equal(v, []byte{1, 2, 3}) {
		t.Errorf("% x", v)
	}
	if _, ok := p.Element(2); ok {
		t.Error("an element that is not there")
	}

	// One of two goes, the other gets another number.
	p = view(packet()).MapElements(&[256]uint8{3: 5})
	if v, ok := p.Element(5); !ok || !bytes.Equal(v, []byte{1, 2, 3}) {
		t.Errorf("% x", p.Bytes())
	}
	if _, data, _ := p.Extension(); !bytes.Equal(data, []byte{0, 0, 0x52, 1, 2, 3, 0, 0}) {
		t.Errorf("% x", data)
	}

	// None is left: the extension goes, the rest stays.
	for name, b := range map[string][]byte{
		"not wanted": packet(),
		"profile":    bytes.Replace(packet(), []byte{0xBE, 0xDE}, []byte{0xAB, 0xAC}, 1),
	} {
		p = view(b).MapElements(&[256]uint8{})
		again := view(p.Bytes())
		if _, _, ok := again.Extension(); ok || string(again.Payload()) != "payload" || again.CSRC(1) != 2 ||
			again.SSRC() != 0xC0FFEE || string(p.Payload()) != "payload" || p.CSRC(0) != 1 {
			t.Errorf("%s: % x", name, p.Bytes())
		}
	}

	// RFC 8285 4.3: two octets of head, a value of none.
	b := Header{}.Append(nil)
	b[0] |= 0x10
	b = append(b, 0x10, 0x05, 0, 2, 20, 0, 21, 2, 7, 8, 0, 99)
	p = view(b)
	if v, ok := p.Element(21); !ok || !bytes.Equal(v, []byte{7, 8}) {
		t.Errorf("% x", v)
	}
	if v, ok := p.Element(20); !ok || len(v) != 0 {
		t.Errorf("% x", v)
	}
	p = p.MapElements(&[256]uint8{21: 200})
	if _, data, _ := p.Extension(); !bytes.Equal(data, []byte{0, 0, 200, 2, 7, 8, 0, 0}) {
		t.Errorf("% x", data) // the 99 behind the padding is half an element
	}

	// A value that is longer than the extension.
	b = packet()
	b[24] = 0x1F
	if p = view(b); p.MapElements(&[256]uint8{1: 1}).extended() {
		t.Error("half an element passes")
	}
}

func TestReports(t *testing.T) {
	sender := Sender{NTP: NTP(1_700_000_000_500_000_000), Timestamp: 3, Packets: 4, Octets: 5}
	reports := []Report{
		{SSRC: 10, Fraction: 128, Lost: -3, Highest: 1 << 17, Jitter: 6, LastSR: 7, SinceSR: 8},
		{SSRC: 11, Lost: 1 << 30},
	}
	b := AppendSR(nil, 1, sender, reports...)
	b = AppendRR(b, 2, reports[0])
	b = AppendSDES(b, 1, "alice")
	b = AppendBYE(b, 1)
	if len(b)%4 != 0 {
		t.Fatal(len(b))
	}

	c, b, err := ParseControl(b)
	if s, ok := c.Sender(); err != nil || !ok || s != sender || c.SSRC() != 1 || c.Reports() != 2 || c.Report(0) != reports[0] {
		t.Errorf("%+v %v", c, err)
	}
	if r := c.Report(1); r.Lost != 1<<23-1 {
		t.Errorf("%+v", r)
	}
	if sender.NTP>>32 != 1_700_000_000+2208988800 || uint32(sender.NTP) != 1<<31 || Middle(sender.NTP) != uint32(sender.NTP>>16) {
		t.Errorf("%x", sender.NTP)
	}
	c, b, err = ParseControl(b)
	if _, ok := c.Sender(); err != nil || ok || c.SSRC() != 2 || c.Reports() != 1 || c.Report(0) != reports[0] {
		t.Errorf("%+v %v", c, err)
	}
	c, b, err = ParseControl(b)
	if ssrc, name, ok := c.CNAME(); err != nil || !ok || ssrc != 1 || string(name) != "alice" {
		t.Errorf("%d %q %v", ssrc, name, err)
	}
	c, b, err = ParseControl(b)
	if err != nil || c.Sources() != 1 || c.Source(0) != 1 || len(b) != 0 {
		t.Errorf("%+v %v", c, err)
	}
	for n := range 9 { // every length of padding behind a name
		name := "alicealice"[:n]
		c, rest, err := ParseControl(AppendSDES(nil, 7, name))
		if ssrc, got, ok := c.CNAME(); err != nil || len(rest) > 0 || !ok || ssrc != 7 || string(got) != name {
			t.Errorf("%q: %q %v", name, got, err)
		}
	}
}

func TestFeedback(t *testing.T) {
	parse := func(b []byte) Control {
		c, rest, err := ParseControl(b)
		if err != nil || len(rest) > 0 || c.SSRC() != 1 {
			t.Fatalf("% x: %v", b, err)
		}
		return c
	}
	if c := parse(AppendPLI(nil, 1, 2)); !c.IsPLI() || c.IsFIR() || c.Media() != 2 {
		t.Errorf("%+v", c)
	}
	c := parse(AppendFIR(nil, 1, 2, 9))
	n := 0
	for media, number := range c.Intra() {
		if n++; media != 2 || number != 9 {
			t.Error(media, number)
		}
	}
	if n != 1 {
		t.Errorf("%d requests", n)
	}
	missing := []uint16{65530, 65531, 65535, 10, 100, 116, 117}
	c = parse(AppendNACK(nil, 1, 2, missing))
	if got := slices.Collect(c.Missing()); c.Media() != 2 || !slices.Equal(got, missing) {
		t.Error(got)
	}
	if len(c.body) != 8+4*3 { // 65530 to 10, 100 and 116, 117
		t.Errorf("% x", c.body)
	}
	for _, rate := range []uint64{0, 1, 1<<18 - 1, 64_000, 2_500_000, 1 << 62} {
		got, ok := parse(AppendREMB(nil, 1, 2, rate)).REMB()
		if !ok || got > rate || rate-got > rate>>17 {
			t.Errorf("%d bit/s: %d", rate, got)
		}
	}
	if _, ok := parse(AppendPLI(nil, 1, 2)).REMB(); ok {
		t.Error("PLI is REMB")
	}
	if !(Control{Type: RTPFB, Count: FormatTransportCC}).IsTransportCC() {
		t.Error("transport-cc is not recognised")
	}
}

func TestControlRefused(t *testing.T) {
	whole := AppendRR(nil, 1, Report{})
	for n := range whole {
		if _, _, err := ParseControl(whole[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"version":      {0, RR, 0, 1, 0, 0, 0, 0},
		"more reports": {0x82, RR, 0, 1, 0, 0, 0, 0},
		"more sources": {0x82, BYE, 0, 1, 0, 0, 0, 0},
		"padding":      {0xA0, RR, 0, 1, 0, 0, 0, 5},
		"RTP":          {0x80, 0, 0, 1, 0, 0, 0, 0},
	} {
		if _, _, err := ParseControl(b); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if !IsControl(whole) || IsControl(packet()) || IsControl(nil) {
		t.Error("RTP and RTCP are mistaken for each other")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	whole, b := packet(), packet()
	ids, out := [256]uint8{1: 2, 3: 4}, make([]byte, 0, 256)
	n := testing.AllocsPerRun(100, func() {
		copy(b, whole)
		p, _ := Parse(b)
		p = p.MapElements(&ids)
		p.SetSeq(p.Seq() + 1)
		out = AppendSR(out[:0], 1, Sender{}, Report{})
		out = AppendNACK(out, 1, 2, []uint16{1, 2})
		for rest := out; len(rest) > 0; {
			var c Control
			c, rest, _ = ParseControl(rest)
			for range c.Missing() {
			}
			for i := range c.Reports() {
				c.Report(i)
			}
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse: what is accepted can be read and changed, and stays a packet.
func FuzzParse(f *testing.F) {
	f.Add(packet(), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b, numbers []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		payload := bytes.Clone(p.Payload())
		for i := range p.CSRCs() {
			p.CSRC(i)
		}
		var ids [256]uint8
		for i, n := range numbers[:min(len(numbers), 255)] {
			ids[i+1] = n
			p.Element(uint8(i + 1))
		}
		p = p.MapElements(&ids)
		again, err := Parse(p.Bytes())
		if err != nil || !bytes.Equal(again.Payload(), payload) || !bytes.Equal(p.Payload(), payload) {
			t.Fatalf("% x: %v", p.Bytes(), err)
		}
		for id := range 256 { // nothing gets through that has no number there
			if _, ok := p.Element(uint8(id)); ok && !slices.Contains(ids[:], uint8(id)) {
				t.Fatalf("element %d", id)
			}
		}
	})
}

// FuzzControl: whatever is accepted can be read, and the parts are the whole.
func FuzzControl(f *testing.F) {
	b := AppendSR(nil, 1, Sender{}, Report{})
	f.Add(AppendREMB(AppendNACK(AppendFIR(AppendBYE(AppendSDES(b, 1, "a"), 1), 1, 2, 3), 1, 2, []uint16{1, 2}), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		for left := b; len(left) > 0; {
			c, rest, err := ParseControl(left)
			if err != nil {
				return
			}
			if len(rest) >= len(left) {
				t.Fatal("no progress")
			}
			left = rest
			c.SSRC()
			c.Media()
			c.Sender()
			c.CNAME()
			c.REMB()
			for i := range c.Reports() {
				c.Report(i)
			}
			for i := range c.Sources() {
				c.Source(i)
			}
			n := 0
			for range c.Missing() {
				n++
			}
			for range c.Intra() {
				n++
			}
			if n > 17*len(b) {
				t.Fatal("more is asked for than there is room for")
			}
		}
	})
}
