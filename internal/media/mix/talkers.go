package mix

import "parley/internal/media/level"

// MaxTalkers is how many legs are heard at the same time. More voices than that are noise to a listener, and
// each costs a decoder.
const MaxTalkers = 4

// Leg numbers the legs of a conference from 0, densely enough to be an index.
type Leg int

// None is no leg.
const None Leg = -1

const (
	hold     = 25 // frames that a talker stays chosen after the last speech: half a second, the pauses of a sentence
	lead     = 6  // dB by which a newcomer has to be louder to take the place of a talker who still speaks
	smoothed = 4  // the level that is compared is one over about this many frames
	dominant = 15 // frames that another talker has to be the loudest to become the dominant one: 300 ms
)

// Talkers chooses whom a conference hears, from levels alone: what RFC 6464 says in the packet is enough, nothing
// has to be decoded for it. The zero value is ready. Not safe for concurrent use.
type Talkers struct {
	legs    []leg
	chosen  [MaxTalkers]Leg
	n       int
	speaker Leg // plus one, so that the zero value is nobody
	rival   Leg // likewise: who is louder than the speaker
	won     int // for how many frames
}

type leg struct {
	level  float32 // smoothed, -dBov
	last   int     // frames since the last speech, counted to hold
	in     bool
	spoke  bool
	silent bool // nothing was said about it in this frame
}

// Hear notes the level (in -dBov) of a leg in this frame, and whether it is speech. A leg for which nothing is
// noted is silent.
func (t *Talkers) Hear(l Leg, lvl uint8, voice bool) {
	t.room(l)
	x := &t.legs[l]
	if !x.spoke && !x.in { // the first word counts at once
		x.level = float32(lvl)
	} else {
		x.level += (float32(lvl) - x.level) / smoothed
	}
	x.silent = false
	x.spoke = voice
	if voice {
		x.last = 0
	}
}

func (t *Talkers) room(l Leg) {
	for len(t.legs) <= int(l) {
		t.legs = append(t.legs, leg{level: level.Silence, last: hold, silent: true})
	}
}

// Remove forgets a leg that has left.
func (t *Talkers) Remove(l Leg) {
	if int(l) >= len(t.legs) {
		return
	}
	t.legs[l] = leg{level: level.Silence, last: hold, silent: true}
	for i := range t.n {
		if t.chosen[i] == l {
			t.drop(i)
			break
		}
	}
	if t.speaker == l+1 {
		t.speaker, t.won = 0, 0
	}
}

func (t *Talkers) drop(i int) {
	t.legs[t.chosen[i]].in = false
	t.n--
	t.chosen[i] = t.chosen[t.n]
}

// Choose ends the frame and returns who is heard in it, at most MaxTalkers. The slice is valid until the next call.
func (t *Talkers) Choose() []Leg {
	for i := range t.legs {
		x := &t.legs[i]
		if x.silent {
			x.spoke = false
			x.level += (level.Silence - x.level) / smoothed
		}
		x.silent = true
		if !x.spoke && x.last < hold {
			x.last++
		}
	}
	for i := t.n - 1; i >= 0; i-- {
		if t.legs[t.chosen[i]].last >= hold {
			t.drop(i)
		}
	}
	for i := range t.legs {
		if x := &t.legs[i]; x.spoke && !x.in {
			t.admit(Leg(i))
		}
	}
	t.rank()
	return t.chosen[:t.n]
}

// admit gives a leg that speaks a place, or that of the weakest talker: one who pauses before one who speaks.
func (t *Talkers) admit(l Leg) {
	x := &t.legs[l]
	if t.n < MaxTalkers {
		x.in = true
		t.chosen[t.n] = l
		t.n++
		return
	}
	weakest := 0
	for i := 1; i < t.n; i++ {
		if t.weaker(t.chosen[i], t.chosen[weakest]) {
			weakest = i
		}
	}
	w := &t.legs[t.chosen[weakest]]
	if w.spoke && x.level > w.level-lead { // greater is quieter
		return
	}
	w.in = false
	x.in = true
	t.chosen[weakest] = l
}

func (t *Talkers) weaker(a, b Leg) bool {
	x, y := &t.legs[a], &t.legs[b]
	if x.spoke != y.spoke {
		return !x.spoke
	}
	return x.level > y.level
}

// rank finds the dominant speaker. One who pauses stays it until another has been the loudest for a while.
func (t *Talkers) rank() {
	loudest := Leg(-1)
	for _, l := range t.chosen[:t.n] {
		if t.legs[l].spoke && (loudest < 0 || t.legs[l].level < t.legs[loudest].level) {
			loudest = l
		}
	}
	switch {
	case loudest < 0 || loudest+1 == t.speaker:
		t.won = 0
	case t.speaker == 0:
		t.speaker, t.won = loudest+1, 0
	case t.rival != loudest+1:
		t.rival, t.won = loudest+1, 1
	default:
		if t.won++; t.won >= dominant {
			t.speaker, t.won = loudest+1, 0
		}
	}
}

// Dominant is who has the floor, or None when nobody has spoken yet. It goes first in the list of contributing
// sources (MS-RTP), and its picture is the large one.
func (t *Talkers) Dominant() Leg { return t.speaker - 1 }
