package engine

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/transport"
	"parley/internal/rtp"
	"parley/internal/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a leg's network: what is written to it is kept, and what the test gives it goes to the engine.
type wire struct {
	mu      sync.Mutex
	handler transport.Handler
	rtp     []rtp.Packet
	rtcp    [][]byte
	keep    bool
}

func newWire() *wire { return &wire{keep: true} }

func (w *wire) Handle(h transport.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

func (w *wire) WriteRTP(pkt []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keep {
		p, err := rtp.Parse(bytes.Clone(pkt))
		if err != nil {
			panic(err)
		}
		w.rtp = append(w.rtp, p)
	}
	return nil
}

func (w *wire) WriteRTCP(pkt []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keep {
		w.rtcp = append(w.rtcp, bytes.Clone(pkt))
	}
	return nil
}

func (w *wire) current() transport.Handler {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handler
}

// say gives the engine a packet that the peer sent.
func (w *wire) say(now time.Time, h rtp.Header, payload ...byte) {
	if handler := w.current(); handler != nil {
		handler.RTP(append(h.Append(nil), payload...), now)
	}
}

func (w *wire) control(now time.Time, pkt []byte) { w.current().RTCP(pkt, now) }

// got is what arrived since the last call.
func (w *wire) got() []rtp.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.rtp
	w.rtp = nil
	return g
}

// said is the RTCP packets that arrived since the last call, taken apart.
func (w *wire) said(t *testing.T) []rtp.Control {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []rtp.Control
	for _, b := range w.rtcp {
		for len(b) > 0 {
			c, rest, err := rtp.ParseControl(b)
			if err != nil {
				t.Fatalf("% x: %v", b, err)
			}
			out, b = append(out, c), rest
		}
	}
	w.rtcp = nil
	return out
}

var (
	pcmu     = sdp.Codec{Type: 0, Name: "PCMU", Clock: 8000, Channels: 1}
	pcma     = sdp.Codec{Type: 8, Name: "PCMA", Clock: 8000, Channels: 1}
	wideband = sdp.Codec{Type: 9, Name: "G722", Clock: 8000, Channels: 1}
	vp8      = sdp.Codec{Type: 96, Name: "VP8", Clock: 90000, Channels: 1}
)

func events(typ uint8) sdp.Codec {
	return sdp.Codec{Type: typ, Name: "telephone-event", Clock: 8000, Channels: 1, Params: "0-16"}
}

func opusCodec(typ uint8) sdp.Codec {
	return sdp.Codec{Type: typ, Name: "opus", Clock: 48000, Channels: 2}
}

// as gives a codec another payload type.
func as(c sdp.Codec, typ uint8) sdp.Codec {
	c.Type = typ
	return c
}

// leg is a leg that sends and takes the same formats.
func leg(w *wire, cs ...sdp.Codec) Leg {
	return Leg{Transport: w, Receive: cs, Send: cs, Direction: sdp.SendRecv}
}

func newEngine(t *testing.T) *Engine {
	e, err := New(Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func bridge(t *testing.T, kind Kind, one, other Leg) *Bridge {
	b, err := newEngine(t).Bridge(kind, one, other)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var start = time.Unix(1_700_000_000, 0)

const ms = time.Millisecond

func at(n int) time.Time { return start.Add(time.Duration(n) * 20 * ms) }

func TestForward(t *testing.T) {
	a, b := newWire(), newWire()
	br := bridge(t, Audio, leg(a, pcma, as(opusCodec(0), 111), events(101)), leg(b, as(opusCodec(0), 96), as(pcma, 120), events(97)))

	for i := range 3 {
		a.say(at(i), rtp.Header{Type: 8, Seq: uint16(65535 + i), Timestamp: uint32(160 * i), SSRC: 7}, byte(i))
	}
	a.say(at(3), rtp.Header{Marker: true, Type: 101, Seq: 2, Timestamp: 480, SSRC: 7}, 1, 10, 0, 160)
	a.say(at(3), rtp.Header{Type: 50, Seq: 3, SSRC: 7}) // nobody spoke of it
	got := b.got()
	if len(got) != 4 {
		t.Fatalf("%d packets", len(got))
	}
	for i, p := range got {
		typ := uint8(120)
		if i == 3 {
			typ = 97
		}
		if p.Type() != typ || p.SSRC() != got[0].SSRC() || p.SSRC() == 7 || p.Marker() != (i == 0 || i == 3) ||
			p.Seq() != got[0].Seq()+uint16(i) || p.Timestamp() != got[0].Timestamp()+uint32(160*i) {
			t.Errorf("%d: % x", i, p.Bytes())
		}
	}
	if !bytes.Equal(got[2].Payload(), []byte{2}) {
		t.Errorf("% x", got[2].Payload())
	}
	b.say(at(4), rtp.Header{Type: 96, Seq: 9, Timestamp: 5, SSRC: 8}, 1, 2, 3)
	if back := a.got(); len(back) != 1 || back[0].Type() != 111 || string(back[0].Payload()) != "\x01\x02\x03" {
		t.Error(back)
	}
	s := br.Stats()
	if s.Legs[0].Received.Packets != 4 || s.Legs[1].Sent.Packets != 4 || s.Legs[0].Dropped.Unknown != 1 || s.Legs[1].Received.Packets != 1 {
		t.Errorf("%+v", s)
	}
}

// Losses stay losses, in whatever order packets come; a new source goes on where the old one was.
func TestNumbers(t *testing.T) {
	a, b := newWire(), newWire()
	br := bridge(t, Audio, leg(a, pcmu), leg(b, pcmu))
	say := func(now time.Time, ssrc uint32, seq uint16, ts uint32) {
		a.say(now, rtp.Header{Seq: seq, Timestamp: ts, SSRC: ssrc}, byte(seq))
	}
	for _, seq := range []uint16{100, 101, 103, 102, 106} {
		say(at(int(seq)), 7, seq, uint32(seq)*160)
	}
	got := b.got()
	first, stamp := got[0].Seq(), got[0].Timestamp()
	for _, p := range got {
		if d := uint16(p.Payload()[0]) - 100; p.Seq() != first+d || p.Timestamp() != stamp+160*uint32(d) {
			t.Errorf("%d is %d, %d", d, p.Seq()-first, p.Timestamp()-stamp)
		}
	}

	// Another source, half a second later: music on hold, a transfer.
	now := at(106).Add(500 * ms)
	say(now, 9, 40000, 5)
	say(now, 7, 107, 107*160) // what was still under way
	say(now.Add(20*ms), 9, 40001, 165)
	got = b.got()
	if len(got) != 2 || got[0].Seq() != first+7 || !got[0].Marker() || got[0].Timestamp() != stamp+6*160+4000 ||
		got[1].Seq() != first+8 || got[1].Marker() || got[1].Timestamp() != stamp+6*160+4160 {
		t.Errorf("%d %d", got[0].Seq()-first, got[0].Timestamp()-stamp)
	}

	// The same source begins to count anew: one packet is no proof.
	now = now.Add(40 * ms)
	say(now, 9, 7, 9000)
	if got := b.got(); len(got) != 0 {
		t.Error("a stray is sent")
	}
	say(now.Add(20*ms), 9, 8, 9160)
	if got = b.got(); len(got) != 1 || got[0].Seq() != first+9 || got[0].Timestamp() != stamp+6*160+4160+320 {
		t.Error(got)
	}

	// Hold and resume: nothing passes meanwhile, and no gap in the numbers tells of it.
	held := leg(a, pcmu)
	held.Direction = sdp.SendOnly
	if err := br.Update(held, leg(b, pcmu)); err != nil {
		t.Fatal(err)
	}
	say(now.Add(40*ms), 9, 9, 9320)
	if err := br.Update(leg(a, pcmu), leg(b, pcmu)); err != nil {
		t.Fatal(err)
	}
	say(now.Add(60*ms), 9, 10, 9480)
	if got = b.got(); len(got) != 1 || got[0].Seq() != first+10 || got[0].Payload()[0] != 10 {
		t.Error(got)
	}
	if d := br.Stats().Legs[0].Dropped; d.Closed != 1 || d.Stray != 2 {
		t.Errorf("%+v", d)
	}
}

// What the other peer has no type for leaves no gap, and NACKs find the way back to the numbers of the sender.
func TestLeftOut(t *testing.T) {
	l := newLine(5)
	l.seq = 65530
	in := map[uint16]uint16{}
	pass := func(seq uint16) {
		out, ts, _, ok := l.pass(start, 1, seq, 0, 8000)
		if !ok {
			t.Fatalf("%d is refused", seq)
		}
		l.sent(start, out, ts, 8000, 1)
		in[out] = seq
	}
	for _, seq := range []uint16{1, 2, 5, 8, 9} {
		pass(seq)
		if seq == 2 {
			l.leave(1, 3)
			l.leave(1, 4)
		}
		if seq == 5 {
			l.leave(1, 6)
		}
	}
	pass(7) // late
	want := map[uint16]uint16{65531: 1, 65532: 2, 65533: 5, 65534: 7, 65535: 8, 0: 9}
	for out, seq := range want {
		if in[out] != seq {
			t.Errorf("%d became %d", seq, out)
		}
		if got, ok := l.original(out); !ok || got != seq {
			t.Errorf("%d was %d, not %d", out, seq, got)
		}
	}
	if _, _, _, ok := l.pass(start, 1, 6, 0, 8000); ok {
		t.Error("what was left out comes late and is sent")
	}
	if _, ok := l.original(1); ok {
		t.Error("what was not sent has a number")
	}
}

func TestExtensions(t *testing.T) {
	const level, cc = "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	a, b := newWire(), newWire()
	one, other := leg(a, pcmu), leg(b, pcmu)
	one.Extensions = map[uint8]string{1: level, 2: cc, 3: "urn:x"}
	other.Extensions = map[uint8]string{4: level, 2: cc}
	br := bridge(t, Audio, one, other)
	pkt := func() []byte {
		p := rtp.Header{SSRC: 1}.Append(nil)
		p[0] |= 0x10
		return append(p, 0xBE, 0xDE, 0, 2, 0x10, 0x81, 0x21, 0, 1, 0x30, 9, 0, 'x')
	}
	a.current().RTP(pkt(), start)
	got := b.got()[0]
	if v, ok := got.Element(4); !ok || v[0] != 0x81 {
		t.Errorf("% x", got.Bytes())
	}
	for id := range uint8(4) {
		if _, ok := got.Element(id); ok {
			t.Errorf("element %d passes", id)
		}
	}
	other.Extensions = nil
	if err := br.Update(one, other); err != nil {
		t.Fatal(err)
	}
	a.current().RTP(pkt(), start)
	if got := b.got()[0]; len(got.Bytes()) != 13 || string(got.Payload()) != "x" {
		t.Errorf("% x", got.Bytes())
	}
}

func TestReports(t *testing.T) {
	a, b := newWire(), newWire()
	one, other := leg(a, pcmu), leg(b, pcmu)
	one.SSRC, one.CNAME, other.SSRC = 0xA, "to-a", 0xB
	br := bridge(t, Audio, one, other)
	for i := range 11 {
		if i != 5 {
			a.say(at(i), rtp.Header{Seq: uint16(i), Timestamp: uint32(160 * i), SSRC: 7}, 1)
		}
	}
	theirs := rtp.Sender{NTP: rtp.NTP(0) + 77<<32, Timestamp: 1600, Packets: 10}
	a.control(at(10), rtp.AppendSR(nil, 7, theirs))
	now := at(10).Add(time.Second)
	br.report(0, now)
	br.report(1, now)

	// A hears how it is received.
	got := a.said(t)
	if len(got) != 2 || got[0].Type != rtp.RR || got[0].SSRC() != 0xA || got[0].Reports() != 1 {
		t.Fatalf("%+v", got)
	}
	r := got[0].Report(0)
	if r.SSRC != 7 || r.Lost != 1 || r.Fraction != 256/11 || r.Highest != 10 || r.Jitter != 0 || r.LastSR != rtp.Middle(theirs.NTP) || r.SinceSR != 65536 {
		t.Errorf("%+v", r)
	}
	if _, name, _ := got[1].CNAME(); string(name) != "to-a" {
		t.Errorf("%q", name)
	}

	// B hears what is sent to it, by the wall clock of A.
	got = b.said(t)
	sent := b.got()
	s, ok := got[0].Sender()
	if !ok || got[0].SSRC() != 0xB || got[0].Reports() != 0 || s.Packets != 10 || s.Octets != 10 ||
		s.Timestamp != sent[9].Timestamp()+8000 || s.NTP>>32 != theirs.NTP>>32+1 {
		t.Errorf("%+v %+v", got, s)
	}
	// And answers: the round trip is what is left of the time.
	b.control(now.Add(500*ms), rtp.AppendRR(nil, 8, rtp.Report{SSRC: 0xB, Fraction: 64, Lost: 3, Jitter: 80, LastSR: rtp.Middle(s.NTP), SinceSR: 65536 / 4}))
	st := br.Stats().Legs[1]
	if st.Codec != "" || st.Speaks != "PCMU" || st.Converted || st.Quality < 2 || st.Quality > 3.5 || st.RoundTrip != 250*ms || st.Reported.Loss != 0.25 || st.Reported.Lost != 3 || st.Reported.Jitter != 10*ms {
		t.Errorf("%+v", st)
	}
	if br.report(1, now); len(b.said(t)) != 2 {
		t.Error("no report")
	}
	br.Close()
	if got := b.said(t); len(got) != 3 || got[2].Type != rtp.BYE || got[2].Source(0) != 0xB {
		t.Errorf("%+v", got)
	}
	if b.current() != nil {
		t.Error("the bridge still listens")
	}
	if err := br.Update(one, other); err == nil {
		t.Error("a closed bridge is updated")
	}
}

// Requests of a browser reach the other one, under its own numbers.
func TestFeedback(t *testing.T) {
	a, b := newWire(), newWire()
	one, other := leg(a, vp8), leg(b, as(vp8, 100))
	one.SSRC, other.SSRC = 0xA, 0xB
	one.Feedback = Feedback{NACK: true, PLI: true, REMB: true, ReducedSize: true}
	other.Feedback = Feedback{NACK: true, PLI: true, FIR: true}
	br := bridge(t, Video, one, other)
	say := func(n int, seq uint16) {
		a.say(at(n), rtp.Header{Type: 96, Seq: seq, Timestamp: uint32(n) * 3000, SSRC: 7}, byte(seq))
	}
	for i, seq := range []uint16{10, 11, 13} {
		say(i, seq)
	}
	// A picture to begin with.
	if got := a.said(t); len(got) != 1 || !got[0].IsPLI() || got[0].SSRC() != 0xA || got[0].Media() != 7 {
		t.Fatalf("%+v", got)
	}
	sent := b.got()
	if sent[0].Type() != 100 || sent[0].Marker() {
		t.Errorf("% x", sent[0].Bytes())
	}
	first := sent[0].Seq()

	// B misses one that we have, and one that never came.
	b.control(at(10), rtp.AppendNACK(nil, 8, 0xB, []uint16{first + 1, first + 2, first + 9}))
	if again := b.got(); len(again) != 1 || !bytes.Equal(again[0].Bytes(), sent[1].Bytes()) {
		t.Error(again)
	}
	got := a.said(t)
	if len(got) != 1 || !got[0].IsNACK() || got[0].Media() != 7 || !slices.Equal(slices.Collect(got[0].Missing()), []uint16{12}) {
		t.Fatalf("%+v", got)
	}
	say(11, 12)
	if late := b.got(); len(late) != 1 || late[0].Seq() != first+2 {
		t.Error(late)
	}
	// Asked twice in a moment: it is on its way already.
	b.control(at(10).Add(ms), rtp.AppendNACK(nil, 8, 0xB, []uint16{first + 1}))
	if again := b.got(); len(again) != 0 {
		t.Error(again)
	}

	b.control(at(20), rtp.AppendFIR(rtp.AppendRR(nil, 8), 8, 0xB, 1)) // A knows PLI
	b.control(at(20), rtp.AppendPLI(nil, 8, 0xB))                     // a moment later
	if got := a.said(t); len(got) != 1 || !got[0].IsPLI() {
		t.Errorf("%+v", got)
	}
	b.control(at(21), rtp.AppendREMB(nil, 8, 0xB, 500_000))
	got = a.said(t)
	if rate, ok := got[0].REMB(); len(got) != 1 || !ok || rate != 500_000 {
		t.Errorf("%+v", got)
	}
	b.control(at(60), rtp.AppendPLI(nil, 8, 0xBAD)) // not our stream
	b.control(at(60), []byte{0x81, 205, 0})         // nothing
	if got := a.said(t); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if br.Stats().Legs[1].Dropped.Broken != 1 {
		t.Error("broken RTCP is not counted")
	}

	// The other way: this peer takes compounds only.
	b.say(at(61), rtp.Header{Type: 100, Seq: 1, SSRC: 8}, 1)
	if got := b.said(t); len(got) != 3 || got[0].Type != rtp.RR || got[1].Type != rtp.SDES || !got[2].IsPLI() || got[2].SSRC() != 0xB {
		t.Errorf("%+v", got)
	}
}

func TestRefused(t *testing.T) {
	e := newEngine(t)
	w := newWire()
	good := leg(w, pcmu)
	for name, l := range map[string]Leg{
		"nothing":  {},
		"no codec": {Transport: w, Receive: []sdp.Codec{pcmu}, Send: []sdp.Codec{events(101)}, Direction: sdp.SendRecv},
		"ptime":    {Transport: w, Receive: []sdp.Codec{pcmu}, Send: []sdp.Codec{pcmu}, Packet: time.Second},
	} {
		if _, err := e.Bridge(Audio, good, l); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if w.current() != nil {
		t.Error("a refused leg is listened to")
	}
	if _, err := e.Transport(Video, transport.Config{}); err == nil || !strings.Contains(err.Error(), "video") {
		t.Errorf("no ports: %v", err)
	}
}

// R of 93.2 is a MOS of 4.41 (G.107 annex B); the other values are what the formula gives, so that a change of it is seen.
func TestQuality(t *testing.T) {
	for _, c := range []struct {
		codec string
		loss  float64
		delay time.Duration
		want  float64
	}{
		{"PCMU", 0, 0, 4.41},
		{"PCMU", 0, 150 * ms, 4.33},
		{"PCMU", 0, 400 * ms, 3.05},
		{"PCMA", 0.05, 50 * ms, 3.91},
		{"opus", 0.05, 50 * ms, 3.57},
		{"PCMU", 1, 0, 1.15},
	} {
		if got := quality(c.codec, c.loss, c.delay); got < c.want-0.15 || got > c.want+0.15 {
			t.Errorf("%s, %v lost, %v: %.2f, want %.2f", c.codec, c.loss, c.delay, got, c.want)
		}
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	a, b := newWire(), newWire()
	one, other := leg(a, pcmu, vp8), leg(b, pcmu, vp8)
	one.Feedback, other.Feedback = Feedback{NACK: true, PLI: true}, Feedback{NACK: true, PLI: true}
	for _, kind := range []Kind{Audio, Video} {
		br := bridge(t, kind, one, other)
		a.keep, b.keep = false, false
		pkt := append(rtp.Header{SSRC: 7}.Append(nil), make([]byte, 160)...)
		if kind == Video {
			pkt[1] = 96
		}
		n := uint16(0)
		h := a.current()
		send := func() {
			p, _ := rtp.Parse(pkt)
			p.SetType(pkt[1])
			n++
			p.SetSeq(n)
			p.SetSSRC(7)
			p.SetTimestamp(uint32(n) * 160)
			h.RTP(pkt, at(int(n)))
		}
		for range cacheSize {
			send()
		}
		control := rtp.AppendRR(nil, 8, rtp.Report{SSRC: br.paths[0].line.ssrc})
		c := b.current()
		allocs := testing.AllocsPerRun(100, func() {
			send()
			c.RTCP(control, at(int(n)))
			br.report(1, at(int(n)))
		})
		if allocs > 0 {
			t.Errorf("%v: %v allocations", kind, allocs)
		}
		br.Close()
	}
}
