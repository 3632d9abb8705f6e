package mix

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func constant(v int16) []int16 { return slices.Repeat([]int16{v}, 160) }

func TestEverybodyHearsTheOthers(t *testing.T) {
	m := NewMixer(160)
	dst := make([]int16, 160)
	for range 2 { // the second tick owes nothing to the first
		m.Begin()
		for l, v := range []int16{1000, -200, 30, 4} {
			if !m.Add(Leg(l), constant(v)) {
				t.Fatal("a talker is left out")
			}
		}
		if m.Add(9, constant(5)) {
			t.Error("a fifth talker is heard")
		}
		for l, want := range []int16{-166, 1034, 804, 830, 834} {
			if n := m.Without(dst, Leg(l)); n != 160 || !slices.Equal(dst, constant(want)) {
				t.Errorf("leg %d hears %d, want %d", l, dst[0], want)
			}
		}
		if m.All(dst); !slices.Equal(dst, constant(834)) {
			t.Errorf("listeners hear %d", dst[0])
		}
	}
	if !m.Talks(3) || m.Talks(4) {
		t.Error("who talks is not known")
	}
}

func TestSaturation(t *testing.T) {
	m := NewMixer(160)
	m.Begin()
	m.Add(0, constant(math.MaxInt16))
	m.Add(1, constant(math.MaxInt16))
	m.Add(2, constant(math.MinInt16))
	dst := make([]int16, 160)
	for l, want := range []int16{-1, -1, math.MaxInt16} { // own voice is taken out before anything is cut
		if m.Without(dst, Leg(l)); dst[7] != want {
			t.Errorf("leg %d hears %d, want %d", l, dst[7], want)
		}
	}
	if m.All(dst); dst[0] != 32766 {
		t.Errorf("listeners hear %d", dst[0])
	}
}

func TestFramesOfOtherLengths(t *testing.T) {
	m := NewMixer(160)
	m.Begin()
	if m.Add(0, make([]int16, 161)) {
		t.Error("a frame that is too long is heard")
	}
	m.Add(0, constant(7)[:80])
	m.Add(1, constant(1))
	dst := make([]int16, 200)
	if n := m.Without(dst, 0); n != 160 || dst[0] != 1 || dst[159] != 1 {
		t.Errorf("%d samples, %v", n, dst[:3])
	}
	if m.Without(dst, 1); dst[79] != 7 || dst[80] != 0 {
		t.Error("a short frame is not filled with silence")
	}
	if n := m.All(dst[:10]); n != 10 {
		t.Errorf("%d samples into a buffer of 10", n)
	}
}

// drive lets legs speak at a level for some frames and returns the last choice, sorted.
func drive(ts *Talkers, frames int, levels map[Leg]uint8) []Leg {
	var chosen []Leg
	for range frames {
		for l, lvl := range levels {
			ts.Hear(l, lvl, lvl < 60)
		}
		chosen = slices.Sorted(slices.Values(ts.Choose()))
	}
	return chosen
}

func TestTalkers(t *testing.T) {
	var ts Talkers
	if got := ts.Choose(); len(got) != 0 || ts.Dominant() != None {
		t.Errorf("nobody is here, and %v talk", got)
	}
	steps := []struct {
		name   string
		frames int
		levels map[Leg]uint8
		want   []Leg
		floor  Leg
	}{
		{"one speaks", 1, map[Leg]uint8{7: 20, 3: 90}, []Leg{7}, 7},
		{"a cough does not take the floor", 3, map[Leg]uint8{7: 20, 3: 10}, []Leg{3, 7}, 7},
		{"a pause keeps the place", hold - 1, map[Leg]uint8{7: 90}, []Leg{3, 7}, 7},
		{"a longer one does not", 1, map[Leg]uint8{7: 90}, []Leg{}, 7},
		{"four speak", 20, map[Leg]uint8{0: 20, 1: 21, 2: 22, 3: 30}, []Leg{0, 1, 2, 3}, 0},
		{"a fifth who is a little louder waits", 20, map[Leg]uint8{0: 20, 1: 21, 2: 22, 3: 30, 8: 26}, []Leg{0, 1, 2, 3}, 0},
		{"one who is much louder is heard", 20, map[Leg]uint8{0: 20, 1: 21, 2: 22, 3: 30, 8: 10}, []Leg{0, 1, 2, 8}, 8},
		{"the one who pauses makes room", 1, map[Leg]uint8{0: 20, 1: 99, 2: 22, 5: 40, 8: 10}, []Leg{0, 2, 5, 8}, 8},
	}
	for _, s := range steps {
		if got := drive(&ts, s.frames, s.levels); !slices.Equal(got, s.want) || ts.Dominant() != s.floor {
			t.Errorf("%s: %v talk, floor %d; want %v, %d", s.name, got, ts.Dominant(), s.want, s.floor)
		}
	}
	ts.Remove(8)
	ts.Remove(99)
	if got := slices.Sorted(slices.Values(ts.Choose())); !slices.Equal(got, []Leg{0, 2, 5}) || ts.Dominant() != None {
		t.Errorf("after one left %v talk, floor %d", got, ts.Dominant())
	}
}

// Whatever the levels, there are never more than four, never one twice, and nobody speaks unheard beside a pause.
func TestTalkersAlways(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	var ts Talkers
	for range 20000 {
		for l := range Leg(12) {
			if rnd.IntN(3) > 0 {
				lvl := uint8(rnd.IntN(128))
				ts.Hear(l, lvl, lvl < 30)
			}
		}
		if rnd.IntN(50) == 0 {
			ts.Remove(Leg(rnd.IntN(12)))
		}
		got := slices.Sorted(slices.Values(ts.Choose()))
		if len(got) > MaxTalkers || len(slices.Compact(got)) != ts.n {
			t.Fatalf("%v talk", got)
		}
		for l := range ts.legs {
			if ts.legs[l].in != slices.Contains(got, Leg(l)) {
				t.Fatal("two accounts of who talks")
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var ts Talkers
	m, dst, frame := NewMixer(960), make([]int16, 960), make([]int16, 960)
	tick := func() {
		for l := range Leg(100) {
			ts.Hear(l, uint8(l), l%5 == 0)
		}
		m.Begin()
		for _, l := range ts.Choose() {
			m.Add(l, frame)
		}
		m.All(dst)
		m.Without(dst, 0)
	}
	tick()
	if n := testing.AllocsPerRun(10, tick); n != 0 {
		t.Errorf("%v allocations a tick", n)
	}
}

// BenchmarkTick is a tick of 100 legs at 16 kHz, codecs left out.
func BenchmarkTick(b *testing.B) {
	var ts Talkers
	m, dst, frame := NewMixer(320), make([]int16, 320), make([]int16, 320)
	for b.Loop() {
		for l := range Leg(100) {
			ts.Hear(l, uint8(l), l%5 == 0)
		}
		m.Begin()
		for _, l := range ts.Choose() {
			m.Add(l, frame)
		}
		m.All(dst)
		for _, l := range ts.chosen[:ts.n] {
			m.Without(dst, l)
		}
	}
}
