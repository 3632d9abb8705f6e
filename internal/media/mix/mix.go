// Package mix makes of the voices of a conference what each of its legs hears: everybody but itself.
//
// A tick has three steps. Talkers chooses, from the levels of all legs, the at most four that are heard. The
// caller decodes those and gives their frames to the Mixer. The Mixer then has one sum for all listeners, to be
// encoded once per codec, and for each talker the sum without it.
package mix

// Mixer adds the frames of one tick. It allocates nothing and is not safe for concurrent use.
type Mixer struct {
	sum     []int32
	talkers [MaxTalkers]Leg
	frames  [MaxTalkers][]int16
	n       int
}

// NewMixer returns a mixer of frames of so many samples.
func NewMixer(samples int) *Mixer { return &Mixer{sum: make([]int32, samples)} }

// Begin starts a tick: nobody has spoken in it.
func (m *Mixer) Begin() {
	clear(m.sum)
	clear(m.frames[:])
	m.n = 0
}

// Add adds the frame of a talker. The frame is not copied: it must stay as it is until the tick is over. A shorter
// frame is filled with silence; what is longer, or beyond MaxTalkers, is not heard, and then ok is false.
func (m *Mixer) Add(l Leg, frame []int16) (ok bool) {
	if m.n == MaxTalkers || len(frame) > len(m.sum) {
		return false
	}
	for i, s := range frame {
		m.sum[i] += int32(s)
	}
	m.talkers[m.n], m.frames[m.n] = l, frame
	m.n++
	return true
}

// Talks reports whether a leg is part of the mix, so that it needs a mix of its own.
func (m *Mixer) Talks(l Leg) bool { return m.frameOf(l) != nil }

func (m *Mixer) frameOf(l Leg) []int16 {
	for i, t := range m.talkers[:m.n] {
		if t == l {
			return m.frames[i]
		}
	}
	return nil
}

// All writes to dst what a leg hears that does not talk.
func (m *Mixer) All(dst []int16) int {
	n := min(len(dst), len(m.sum))
	dst = dst[:n]
	for i, s := range m.sum[:n] {
		dst[i] = clip(s)
	}
	return n
}

// Without writes to dst what a leg hears: everybody but itself. For one that does not talk that is All.
func (m *Mixer) Without(dst []int16, l Leg) int {
	own := m.frameOf(l)
	n := min(len(dst), len(m.sum))
	own = own[:min(len(own), n)]
	dst = dst[:n]
	for i, s := range own {
		dst[i] = clip(m.sum[i] - int32(s))
	}
	for i := len(own); i < n; i++ {
		dst[i] = clip(m.sum[i])
	}
	return n
}

// clip saturates: the loudest moment of two voices is cut, it never wraps around.
func clip(v int32) int16 { return int16(min(max(v, -32768), 32767)) }
