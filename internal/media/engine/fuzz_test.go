package engine

import (
	"encoding/binary"
	"testing"
	"time"

	"parley/internal/sdp"
)

// FuzzBridge: whatever two peers send, in whatever order, each of them gets one stream of what it takes, and what
// is converted never has a number twice; and RTCP that can be read.
func FuzzBridge(f *testing.F) {
	cn := sdp.Codec{Type: 13, Name: "CN", Clock: 8000, Channels: 1}
	rest := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7}, make([]byte, 20)...)
	f.Add(byte(0), append([]byte{0, 32}, rest...))
	f.Add(byte(1), append(append([]byte{0, 32}, rest...), 8, 0, 8, 0, 9, 12, 0x81, 201, 0, 1, 0, 0, 0, 1))
	f.Add(byte(2), append([]byte{1, 16, 0x80, 101, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 10, 0, 160}, 8, 0))
	f.Fuzz(func(t *testing.T, mode byte, script []byte) {
		a, b := newWire(), newWire()
		one, other := leg(a, pcmu, events(101), cn), leg(b, pcmu, events(101))
		switch mode % 4 {
		case 1: // converted
			other = leg(b, wideband, events(96))
		case 2: // with keys made into tones
			other = leg(b, pcma)
		case 3: // several codecs, not the same
			one, other = leg(a, pcmu, wideband, cn), leg(b, pcma, pcmu, events(101))
			one.Extensions, other.Extensions = map[uint8]string{1: "urn:x", 3: "urn:y"}, map[uint8]string{2: "urn:x"}
		}
		one.Feedback = Feedback{NACK: true, PLI: true, REMB: true}
		br := stillBridge(t, one, other)
		defer br.Close()
		now := start
		for n := 0; len(script) >= 2 && n < 200; n++ {
			op, size := script[0], int(script[1])
			script = script[2:]
			size = min(size, len(script))
			pkt := append(make([]byte, 0, size), script[:size]...)
			script = script[size:]
			from := []*wire{a, b}[op&1]
			switch op >> 1 & 3 {
			case 0:
				from.current().RTP(pkt, now)
			case 1:
				from.current().RTCP(pkt, now)
			case 2:
				if len(pkt) >= 12 { // the number and the time that a peer would have
					binary.BigEndian.PutUint16(pkt[2:], uint16(n))
					binary.BigEndian.PutUint32(pkt[4:], uint32(n)*160)
				}
				from.current().RTP(pkt, now)
			case 3:
				br.report(int(op&1), now)
			}
			now = now.Add(time.Duration(op>>3) * ms)
			br.tick(now)
		}
		br.Stats()
		for i, w := range []*wire{a, b} {
			w.said(t)
			types := map[uint8]bool{}
			for _, c := range []Leg{one, other}[i].Send {
				types[c.Type] = true
			}
			numbers := map[uint16]bool{}
			var ssrc uint32
			for j, p := range w.got() {
				if j == 0 {
					ssrc = p.SSRC()
				}
				if p.SSRC() != ssrc || !types[p.Type()] {
					t.Fatalf("packet %d of leg %d: source %d, not %d; type %d", j, i, p.SSRC(), ssrc, p.Type())
				}
				// What is forwarded twice came twice.
				if converted := mode%4 == 1 || mode%4 == 2; converted && numbers[p.Seq()] {
					t.Fatalf("packet %d of leg %d: number %d again", j, i, p.Seq())
				}
				numbers[p.Seq()] = true
			}
		}
	})
}
