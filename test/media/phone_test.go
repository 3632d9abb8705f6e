// Package media_test puts the parts of the media engine into a call with a real phone.
package media_test

import (
	"context"
	"encoding/binary"
	"math"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/conceal"
	"parley/internal/media/dtmf"
	"parley/internal/media/g711"
	"parley/internal/media/g722"
	"parley/internal/media/jitter"
	"parley/internal/media/level"
	"parley/internal/media/mix"
	"parley/internal/media/resample"
	"parley/internal/media/tone"
	"parley/internal/sdp"
	"parley/test/baresip"
	"parley/test/parleytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	theirs = 440.0 // what the phone says
	ours   = 700.0 // and what it is to hear
)

// codec is both directions of one codec, at its own rate.
type codec struct {
	rate   int
	encode func([]byte, []int16) int
	decode func([]int16, []byte) int
}

func newCodec(name string) codec {
	switch name {
	case "PCMA":
		return codec{8000, g711.EncodeA, g711.DecodeA}
	case "G722":
		return codec{16000, g722.NewEncoder().Encode, g722.NewDecoder().Decode}
	}
	return codec{8000, g711.EncodeU, g711.DecodeU}
}

// leg is the media of the call: every 20 ms a frame from the phone and one to it, at 8000 samples a second inside.
type leg struct {
	*peer
	call
	codec
	down, up *resample.Resampler
	conceal  *conceal.Concealer

	mu     sync.Mutex
	buffer *jitter.Buffer
	keys   *dtmf.Receiver
	digits []byte
	begin  time.Time

	heard []int16 // what the phone said
	send  *dtmf.Sender
}

func newLeg(t *testing.T, p *peer, c call) *leg {
	l := &leg{peer: p, call: c, codec: newCodec(c.codec.Name), conceal: conceal.New(8000), buffer: jitter.New(jitter.Config{}),
		keys: dtmf.NewReceiver(8000), send: dtmf.NewSender(160, 400), begin: time.Now()}
	var err error
	if l.down, err = resample.New(l.rate, 8000); err != nil {
		t.Fatal(err)
	}
	if l.up, err = resample.New(8000, l.rate); err != nil {
		t.Fatal(err)
	}
	return l
}

// read takes packets until the socket is closed.
func (l *leg) read() {
	buf := make([]byte, 2048)
	for {
		n, from, err := l.pair.RTP.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n < 12 || buf[0]>>6 != 2 || from != l.remote {
			continue
		}
		now := time.Since(l.begin)
		typ, ts := buf[1]&0x7F, binary.BigEndian.Uint32(buf[4:])
		l.mu.Lock()
		if typ == l.event && l.event != 0 {
			if h := l.keys.Receive(now, ts, buf[1]&0x80 != 0, buf[12:n]); h.Began {
				l.digits = append(l.digits, h.Pressed.Digit())
			}
		} else if typ == l.call.codec.Type {
			l.buffer.Put(now, binary.BigEndian.Uint16(buf[2:]), ts, typ, buf[12:n])
		}
		l.mu.Unlock()
	}
}

// run is the tick, until ctx ends or enough says so after a frame.
func (l *leg) run(ctx context.Context, enough func() bool) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	player := tone.NewPlayer(8000, tone.Sine(ours, -10))
	mixer := mix.NewMixer(160)
	voice, own, out := make([]int16, 160), make([]int16, 160), make([]int16, 160)
	wide := make([]int16, 960)
	packet := make([]byte, 12, 1500)
	packet[0] = 0x80
	binary.BigEndian.PutUint32(packet[8:], 0x5EED)
	for n := 0; ; n++ {
		// By the time and not by the ticks: a busy machine leaves ticks out.
		for time.Since(l.begin) < time.Duration(n)*20*time.Millisecond {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		l.mu.Lock()
		f := l.buffer.Take(time.Since(l.begin), level.Of(voice) > 50)
		switch f.Kind {
		case jitter.Audio:
			k := l.decode(wide[:l.rate/50], f.Payload)
			l.down.Process(voice, wide[:k])
			l.conceal.Good(voice)
		default:
			l.conceal.Lost(voice)
		}
		l.buffer.Played(160)
		l.keys.Tick(time.Since(l.begin))
		l.mu.Unlock()

		player.Fill(own)
		mixer.Begin()
		mixer.Add(0, voice)
		mixer.Add(1, own)
		mixer.Without(out, 1)
		l.heard = append(l.heard, out...)
		mixer.Without(out, 0)

		packet = packet[:12]
		packet[1] = l.call.codec.Type
		ts := uint32(n) * 160
		binary.BigEndian.PutUint16(packet[2:], uint16(n))
		binary.BigEndian.PutUint32(packet[4:], ts)
		if p, ok := l.send.Next(ts); ok {
			packet[1] = l.event
			if p.Marker {
				packet[1] |= 0x80
			}
			binary.BigEndian.PutUint32(packet[4:], p.Timestamp)
			packet = p.Payload.Append(packet)
		} else {
			k := l.up.Process(wide, out)
			packet = packet[:12+l.encode(packet[12:12+160], wide[:k])]
		}
		if _, err := l.pair.RTP.WriteToUDPAddrPort(packet, l.remote); err != nil {
			l.t.Log(err)
		}
		if n%25 == 24 && enough() {
			return
		}
	}
}

// share is how much of the power of the last half second is the sine of hz.
func share(pcm []int16, hz float64) float64 {
	if len(pcm) < 4000 {
		return 0
	}
	pcm = pcm[len(pcm)-4000:]
	var re, im, sum float64
	for i, s := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / 8000)
		re, im, sum = re+float64(s)*cos, im+float64(s)*sin, sum+float64(s)*float64(s)
	}
	return 2 * (re*re + im*im) / 4000 / (sum + 1)
}

var pressedThere = regexp.MustCompile(`received event: '(.)' \(end=0\)`)

// received is the keys that the phone has heard, by its log.
func received(log string) string {
	var s string
	for _, m := range pressedThere.FindAllStringSubmatch(log, -1) {
		s += m[1]
	}
	return s
}

// TestPhone: baresip calls, is answered, says a tone through descriptions, ports, jitter buffer, decoder, resampler
// and mixer, and hears another through mixer, resampler and encoder. Keys that it presses arrive, and ours arrive there.
func TestPhone(t *testing.T) {
	parleytest.Need(t, "baresip")
	all := []sdp.Codec{
		{Name: "PCMU", Clock: 8000, Channels: 1}, {Name: "PCMA", Clock: 8000, Channels: 1}, {Name: "G722", Clock: 8000, Channels: 1},
		{Name: "telephone-event", Clock: 8000, Channels: 1},
	}
	for name, codec := range map[string]string{"PCMU": "PCMU/8000/1", "PCMA": "PCMA/8000/1", "G722": "G722/16000/1"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			p := newPeer(t, sdp.Local{Codecs: all, Direction: sdp.SendRecv, Keyings: []sdp.Keying{sdp.Plain}})
			phone, err := baresip.Start(ctx, baresip.Config{
				Name: "alice", Domain: p.conn.LocalAddr().String(), Tone: theirs, Dir: t.TempDir(),
				Codec: codec, Lines: []string{"module g722.so"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer phone.Stop()
			if err := phone.Command("dial", "sip:bob@"+p.conn.LocalAddr().String()); err != nil {
				t.Fatal(err)
			}
			var c call
			select {
			case c = <-p.taken:
			case <-ctx.Done():
				t.Fatalf("no call\n%s", phone.Log())
			}
			if c.codec.Name != name || c.event == 0 {
				t.Fatalf("agreed upon %+v, events %d", c.codec, c.event)
			}
			if _, _, err := phone.Await(ctx, 0, "CALL_ESTABLISHED"); err != nil {
				t.Fatalf("%v\n%s", err, phone.Log())
			}
			l := newLeg(t, p, c)
			p.done.Go(l.read)
			best, pressed, shareThere, there := 0.0, false, 0.0, ""

			l.run(ctx, func() bool {
				best = max(best, share(l.heard, theirs))
				if s, err := phone.Heard(); err == nil {
					shareThere, _ = s.Tone(ours)
				}
				if best < 0.9 || shareThere < 0.9 {
					return false
				}
				if !pressed {
					pressed = true
					for _, d := range "12#" {
						e, _ := dtmf.ParseDigit(byte(d))
						l.send.Press(e, 800)
					}
					if err := phone.Command("sndcode", "42#"); err != nil {
						t.Error(err)
					}
				}
				there = received(phone.Log())
				l.mu.Lock()
				defer l.mu.Unlock()
				return there == "12#" && string(l.digits) == "42#"
			})
			if best < 0.9 || shareThere < 0.9 {
				t.Errorf("of what is heard %.2f is the phone's tone; there %.2f is ours", best, shareThere)
			}
			l.mu.Lock()
			if string(l.digits) != "42#" || there != "12#" {
				t.Errorf("the phone pressed 42#, heard %q; we pressed 12#, there %q\n%s", l.digits, there, phone.Log())
			}
			t.Logf("%+v, digits %q", l.buffer.Stats(), l.digits)
			l.mu.Unlock()
		})
	}
}
