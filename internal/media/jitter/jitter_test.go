package jitter

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// firstTS lets timestamps wrap around soon after the beginning.
const firstTS = 4294960000

// arrival is a packet of a trace: its number from 0 and when it arrives. A packet that is lost has no arrival.
type arrival struct {
	n  int
	at time.Duration
}

// network makes a trace: packets every 20 ms of the sender's clock, which runs drift (parts in a million) fast.
func network(packets int, drift float64, delay func(i int) (d time.Duration, lost bool)) []arrival {
	var trace []arrival
	for i := range packets {
		if d, lost := delay(i); !lost {
			sent := time.Duration(float64(i) * 20e6 / (1 + drift*1e-6))
			trace = append(trace, arrival{i, sent + d})
		}
	}
	slices.SortStableFunc(trace, func(a, b arrival) int { return int(a.at - b.at) })
	return trace
}

func recorded(t *testing.T, name string) []arrival {
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var trace []arrival
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var a arrival
		var at int
		if _, err := fmt.Sscan(lines.Text(), &a.n, &at); err != nil {
			t.Fatal(err)
		}
		a.at = time.Duration(at) * ms
		trace = append(trace, a)
	}
	return trace
}

// heard is what came out of a buffer.
type heard struct {
	Stats
	frames, audio, empty, silence int
	order                         bool // packets were played in the order of their numbers, each once
	delays                        []time.Duration
}

// play runs a trace through a buffer: a frame is taken every 20 ms from phase on, until end. Every second there is a
// pause between words.
func play(b *Buffer, trace []arrival, phase, end time.Duration) heard {
	h := heard{order: true}
	lastPlayed := -1
	for now := phase; now < end; now += 20 * ms {
		for len(trace) > 0 && trace[0].at <= now {
			n := trace[0].n
			b.Put(trace[0].at, uint16(n+65000), uint32(n)*160+firstTS, 0, []byte{byte(n >> 16), byte(n >> 8), byte(n)})
			trace = trace[1:]
		}
		f := b.Take(now, h.frames%50 == 49)
		b.Played(160)
		h.frames++
		switch f.Kind {
		case Audio:
			h.audio++
			n := int(f.Payload[0])<<16 | int(f.Payload[1])<<8 | int(f.Payload[2])
			h.order = h.order && n > lastPlayed && f.Timestamp == uint32(n)*160+firstTS
			lastPlayed = n
			h.delays = append(h.delays, b.Stats().Delay)
		case Empty:
			if lastPlayed >= 0 {
				h.empty++
			}
		case Silence:
			h.silence++
		}
	}
	h.Stats = b.Stats()
	return h
}

func fixed(d time.Duration) func(int) (time.Duration, bool) {
	return func(int) (time.Duration, bool) { return d, false }
}

func TestPerfectNetwork(t *testing.T) {
	h := play(New(Config{}), network(500, 0, fixed(70*ms)), 5*ms, 10100*ms)
	if h.audio+int(h.Skipped) != 500 || h.Skipped > 2 || h.empty > 4 || h.Lost+h.Late+h.Restarts != 0 || !h.order || h.Jitter != 0 {
		t.Errorf("%+v", h.Stats)
	}
	if h.Target != 20*ms || h.Delay > 40*ms {
		t.Errorf("a perfect network has a delay of %v, target %v", h.Delay, h.Target)
	}
}

func TestReordering(t *testing.T) {
	// Every tenth packet is overtaken by the next one.
	trace := network(3000, 0, func(i int) (time.Duration, bool) {
		if i%10 == 9 {
			return 55 * ms, false
		}
		return 30 * ms, false
	})
	h := play(New(Config{}), trace, 7*ms, time.Minute)
	if h.audio < 2995 || h.Lost > 5 || !h.order {
		t.Errorf("%d of 3000 played; %+v", h.audio, h.Stats)
	}
}

func TestDuplicates(t *testing.T) {
	trace := network(500, 0, fixed(30*ms))
	trace = slices.Collect(func(yield func(arrival) bool) {
		for _, a := range trace {
			if !yield(a) || !yield(a) {
				return
			}
		}
	})
	h := play(New(Config{}), trace, 7*ms, 10100*ms)
	if h.audio+int(h.Skipped) != 500 || h.Duplicate+h.Late != 500 || !h.order {
		t.Errorf("%d played; %+v", h.audio, h.Stats)
	}
}

// gilbert loses packets in bursts: good and bad periods, as on radio links.
func gilbert(rnd *rand.Rand, toBad, toGood, inBad float64) func() bool {
	bad := false
	return func() bool {
		if bad {
			bad = rnd.Float64() >= toGood
		} else {
			bad = rnd.Float64() < toBad
		}
		return bad && rnd.Float64() < inBad
	}
}

func TestLossInBursts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	lose := gilbert(rnd, 0.02, 0.3, 0.7)
	lost := 0
	trace := network(15000, 0, func(int) (time.Duration, bool) {
		l := lose()
		if l {
			lost++
		}
		return 40*ms + time.Duration(rnd.ExpFloat64()*float64(8*ms)), l
	})
	h := play(New(Config{}), trace, 3*ms, 5*time.Minute)
	arrived := 15000 - lost
	if h.audio < arrived*97/100 || !h.order || int(h.Late) > arrived*3/100 {
		t.Errorf("%d of %d played; %+v", h.audio, arrived, h.Stats)
	}
	if d := mean(h.delays); d > 100*ms {
		t.Errorf("mean delay %v for a jitter of 8 ms", d)
	}
}

func mean(ds []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range ds {
		sum += d
	}
	return sum / time.Duration(max(len(ds), 1))
}

// TestDelayFollows: the delay grows when the network becomes bad and shrinks when it recovers.
func TestDelayFollows(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	trace := network(9000, 0, func(i int) (time.Duration, bool) {
		if i/3000 == 1 {
			return 30*ms + time.Duration(rnd.IntN(120))*ms, false
		}
		return 30*ms + time.Duration(rnd.IntN(5))*ms, false
	})
	h := play(New(Config{}), trace, ms, 3*time.Minute)
	n := len(h.delays)
	good, bad, again := mean(h.delays[1000:2500]), mean(h.delays[n/3+1000:n/3+2500]), mean(h.delays[n-1500:])
	if good > 60*ms || bad < 90*ms || bad > 200*ms || again > 80*ms {
		t.Errorf("delay %v, then %v, then %v", good, bad, again)
	}
	if h.audio < 8900 || !h.order {
		t.Errorf("%d of 9000 played; %+v", h.audio, h.Stats)
	}
}

// TestDrift: a clock 200 ppm off is 0.72 seconds in an hour. The delay stays, and nothing else is noticed.
func TestDrift(t *testing.T) {
	for _, ppm := range []float64{-200, 200} {
		rnd := rand.New(rand.NewPCG(5, 6))
		trace := network(180000, ppm, func(int) (time.Duration, bool) { return 30*ms + time.Duration(rnd.IntN(10))*ms, false })
		h := play(New(Config{}), trace, ms, time.Hour)
		if worst := slices.Max(h.delays); worst > 130*ms || h.Late > 200 || h.Skipped > 100 || h.Lost+uint64(h.empty) > 300 || !h.order {
			t.Errorf("%v ppm: delay up to %v, %d empty; %+v", ppm, worst, h.empty, h.Stats)
		}
	}
}

// TestStalls: every ten seconds the network holds everything back for 300 ms and then lets it go at once. Nothing is
// lost by that, and when the stall has left the window of five seconds, the delay is what it was.
func TestStalls(t *testing.T) {
	trace := network(6000, 0, func(i int) (time.Duration, bool) {
		if held := i % 500; held < 15 {
			return 30*ms + time.Duration(15-held)*20*ms, false
		}
		return 30 * ms, false
	})
	h := play(New(Config{}), trace, ms, 2*time.Minute)
	if h.audio+int(h.Skipped) < 5995 || h.Lost+h.Late > 5 || h.Skipped > 12*16 || !h.order {
		t.Errorf("%d of 6000 played; %+v", h.audio, h.Stats)
	}
	var calm []time.Duration
	for i, d := range h.delays {
		if at := i * 6000 / len(h.delays) % 500; at > 400 && at < 490 {
			calm = append(calm, d)
		}
	}
	if worst := slices.Max(calm); worst > 150*ms {
		t.Errorf("delay %v long after a stall", worst)
	}
}

func TestRecorded(t *testing.T) {
	trace := recorded(t, "busy.txt")
	h := play(New(Config{}), trace, 9*ms, 31*time.Second)
	if h.audio < len(trace)*95/100 || h.Lost+h.Late > 15 || !h.order || mean(h.delays) > 250*ms {
		t.Errorf("%d of %d played, mean delay %v; %+v", h.audio, len(trace), mean(h.delays), h.Stats)
	}
}

// step drives a buffer by hand: frames of 20 ms at now, which advances.
type stepper struct {
	*Buffer
	now time.Duration
}

func (s *stepper) put(seq uint16, ts uint32) Verdict {
	return s.Put(s.now, seq, ts, 0, []byte{byte(seq)})
}

func (s *stepper) take() Frame {
	f := s.Take(s.now, false)
	s.Played(160)
	s.now += 20 * ms
	return f
}

func (s *stepper) kinds(n int) string {
	var k []byte
	for range n {
		k = append(k, "eALs"[s.take().Kind])
	}
	return string(k)
}

// TestSilence: a sender that leaves out silence loses nothing, and its next word waits for the delay.
func TestSilence(t *testing.T) {
	s := &stepper{Buffer: New(Config{})}
	for i := range uint16(3) {
		s.put(i, uint32(i)*160)
		s.now += 20 * ms
	}
	if got := s.kinds(5); got != "AAAee" {
		t.Fatal(got)
	}
	s.now += 400 * ms
	s.put(3, 160*28) // in time: 28 frames after the first
	if got := s.kinds(4); !strings.Contains(got, "sA") || strings.Contains(got, "L") {
		t.Errorf("the next word: %s", got)
	}
}

// TestLostFrame: a hole is concealed, with the following packet at hand for codecs that can use it.
func TestLostFrame(t *testing.T) {
	s := &stepper{Buffer: New(Config{})}
	for _, n := range []uint16{0, 1, 3, 4} {
		s.put(n, uint32(n)*160)
	}
	s.now = 60 * ms
	s.take()
	s.take()
	if f := s.take(); f.Kind != Lost || len(f.Payload) != 1 || f.Payload[0] != 3 || f.Timestamp != 320 {
		t.Errorf("%+v", f)
	}
	if v := s.put(2, 320); v != Stored && v != Late {
		t.Errorf("verdict %d", v)
	}
	if got := s.kinds(3); got != "AAe" && got != "AAA" {
		t.Error(got)
	}
}

// TestStall: what was invented while nothing came is not invented again for what was lost meanwhile.
func TestStall(t *testing.T) {
	s := &stepper{Buffer: New(Config{})}
	for i := range uint16(3) {
		s.put(i, uint32(i)*160)
		s.now += 20 * ms
	}
	if got := s.kinds(4); got != "AAAe" {
		t.Fatal(got)
	}
	s.put(4, 4*160) // 3 is lost
	if got := s.kinds(1); got != "A" {
		t.Errorf("a frame is invented twice: %s", got)
	}
}

// TestPackets of 40 and of 10 ms: Played says how long they were.
func TestOtherLengths(t *testing.T) {
	b := New(Config{})
	now := time.Duration(0)
	for i := range uint16(50) {
		b.Put(now, i, uint32(i)*320, 0, nil)
		now += 40 * ms
		if i == 0 {
			continue
		}
		if f := b.Take(now, false); f.Kind != Audio || f.Timestamp != uint32(i-1)*320 {
			t.Fatalf("packet %d: %+v", i, f)
		}
		b.Played(320)
	}
	if s := b.Stats(); s.Lost+s.Skipped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnotherStream(t *testing.T) {
	s := &stepper{Buffer: New(Config{})}
	s.put(10, 1000)
	s.now += 60 * ms
	s.take()
	if v := s.put(30000, 5); v != Stray {
		t.Errorf("one packet out of the blue: verdict %d", v)
	}
	if v := s.put(11, 1160); v != Stored {
		t.Errorf("the stream goes on: verdict %d", v)
	}
	if v := s.put(30001, 165); v != Stray {
		t.Error("strays need not be neighbours")
	}
	if v := s.put(30002, 325); v != Stored || s.Stats().Restarts != 1 {
		t.Errorf("the second in a row is another stream: verdict %d", v)
	}
	s.put(30003, 1<<31) // the clock behind the numbers jumps
	if s.Stats().Restarts != 2 {
		t.Error("a jump in time is not noticed")
	}
	s.now += 60 * ms
	if f := s.take(); f.Kind != Audio || f.Timestamp != 1<<31 {
		t.Errorf("%+v", f)
	}
}

// TestPause: a sender that stops its clock with its packets begins anew, without the pause as delay.
func TestPause(t *testing.T) {
	s := &stepper{Buffer: New(Config{})}
	ts := uint32(0)
	stream := func(from, to uint16) {
		for i := from; i < to; i++ {
			s.put(i, ts)
			ts += 160
			s.take()
		}
	}
	stream(0, 200)
	s.kinds(500) // ten seconds of nothing
	stream(200, 400)
	if st := s.Stats(); st.Delay > 80*ms || st.Skipped+st.Lost > 0 {
		t.Errorf("%+v", st)
	}
}

func TestNobodyTakes(t *testing.T) {
	b := New(Config{})
	for i := range 70000 {
		b.Put(time.Duration(i)*20*ms, uint16(i), uint32(i)*160, 0, nil)
		if b.count > slots {
			t.Fatal("the buffer has no bound")
		}
	}
	if b.Put(0, 0, 0, 0, make([]byte, maxPayload+1)) != TooLarge {
		t.Error("a payload of any size is kept")
	}
	if f := b.Take(70000*20*ms, false); f.Kind != Audio {
		t.Errorf("%+v", f)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	b := New(Config{})
	payload := make([]byte, 160)
	now, seq := time.Duration(0), uint16(0)
	tick := func() {
		b.Put(now, seq, uint32(seq)*160, 0, payload)
		b.Take(now, false)
		b.Played(160)
		seq++
		now += 20 * ms
	}
	for range 200 {
		tick()
	}
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// FuzzBuffer: whatever arrives, the buffer keeps its bounds and what it plays goes forward.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 160, 1, 2, 1, 64, 7, 7, 7, 7})
	f.Fuzz(func(t *testing.T, in []byte) {
		b := New(Config{})
		var now time.Duration
		var seq uint16
		var ts uint32
		for len(in) >= 4 {
			op := in[0]
			seq += uint16(int8(in[1]))
			ts += uint32(int8(in[2])) * 160
			if op&0x40 != 0 {
				seq, ts = uint16(in[1])<<8|uint16(in[2]), uint32(in[1])<<24|uint32(in[3])
			}
			now += time.Duration(in[3]&0x3F) * ms
			b.Put(now, seq, ts, 0, in[:1])
			for range op & 3 {
				before, restarts := b.nextSeq, b.stats.Restarts
				if b.Take(now, op&4 != 0); b.stats.Restarts == restarts && b.nextSeq < before {
					t.Fatal("played backwards")
				}
				b.Played(int(in[3]))
			}
			n := 0
			for i := range b.slots {
				if !b.slots[i].full {
					continue
				}
				n++
				if d := b.slots[i].seq - b.nextSeq; d < 0 || d >= slots {
					t.Fatalf("a packet %d ahead is kept", d)
				}
			}
			if n != b.count {
				t.Fatalf("%d packets, counted %d", n, b.count)
			}
			if b.target < b.min || b.target > b.max {
				t.Fatalf("target %d", b.target)
			}
			in = in[4:]
		}
	})
}

func BenchmarkPutTake(b *testing.B) {
	buf := New(Config{})
	payload := make([]byte, 160)
	now, seq := time.Duration(0), uint16(0)
	for b.Loop() {
		buf.Put(now, seq, uint32(seq)*160, 0, payload)
		buf.Take(now, false)
		buf.Played(160)
		seq++
		now += 20 * ms
	}
}
