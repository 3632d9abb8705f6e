package interwork

import (
	"strconv"
	"time"

	"parley/internal/media/engine"
)

// Medium is one medium that the engine carries.
type Medium struct {
	Kind       string // "audio" or "video"
	Transcoded bool   // the ends use different codecs
	Ends       [2]End // the caller's and the called one's
}

// End is one end of a medium.
type End struct {
	Profile   string // what kind of device it is: see Profile.String
	Codec     string // of what is sent to it, "opus/48000"
	Keys      string // what protects it: "none", or the name of the SRTP profile
	Packets   uint64 // received from it
	Lost      uint64 // of what it sent
	Jitter    time.Duration
	Loss      float64 // share of what was sent to it that it says it lost of late
	RoundTrip time.Duration
}

// Media returns what the engine carries, by Call-ID.
func (g *Gateway) Media() map[string][]Medium {
	out := map[string][]Medium{}
	for _, s := range g.all() {
		s.mu.Lock()
		for _, l := range s.legs {
			for i, m := range l.media {
				if m != nil && m.bridge != nil {
					out[s.key.id] = append(out[s.key.id], l.status(i, m))
				}
			}
		}
		s.mu.Unlock()
	}
	return out
}

func (l *leg) status(i int, m *medium) Medium {
	st := m.bridge.Stats()
	r := Medium{Kind: m.kind.String()}
	for side := range r.Ends {
		x, e := &st.Legs[side], &l.sides[side]
		r.Ends[side] = End{Profile: e.profile.String(), Codec: codecName(m.legs[side]), Packets: x.Received.Packets, Lost: x.Lost,
			Jitter: x.Jitter, Loss: x.Reported.Loss, RoundTrip: x.RoundTrip}
		if p := at(e.ports, i); p != nil {
			r.Ends[side].Keys = p.Stats().Keys
		}
	}
	r.Transcoded = r.Ends[caller].Codec != r.Ends[callee].Codec
	return r
}

func codecName(l engine.Leg) string {
	for _, c := range l.Send {
		if carries(c) {
			return c.Name + "/" + strconv.Itoa(c.Clock)
		}
	}
	return ""
}

// Count is how many calls the engine carries media of now, and how many media, of which so many are transcoded.
func (g *Gateway) Count() (calls, media, transcoded int) {
	for _, ms := range g.Media() {
		calls++
		media += len(ms)
		for _, m := range ms {
			if m.Transcoded {
				transcoded++
			}
		}
	}
	return calls, media, transcoded
}
