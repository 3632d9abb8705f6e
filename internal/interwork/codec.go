package interwork

import (
	"slices"
	"strings"

	"parley/internal/media/engine"
	"parley/internal/sdp"
)

// kindOf is the engine's name for a medium; ok is false for what it does not carry.
func kindOf(m *sdp.Media) (k engine.Kind, ok bool) {
	l := m.MLine()
	switch {
	case !sdp.RTP(l.Proto):
	case l.Kind == "audio":
		return engine.Audio, true
	case l.Kind == "video":
		return engine.Video, true
	}
	return 0, false
}

func isEvent(c sdp.Codec) bool { return strings.EqualFold(c.Name, "telephone-event") }
func isNoise(c sdp.Codec) bool { return strings.EqualFold(c.Name, "CN") }

// isRepair reports whether a format carries another one. Those are between two neighbours and never offered.
func isRepair(c sdp.Codec) bool {
	switch strings.ToLower(c.Name) {
	case "red", "rtx", "ulpfec", "flexfec-03", "flexfec", "parityfec", "x-ulpfecuc":
		return true
	}
	return false
}

// carries reports whether a format is speech or picture itself.
func carries(c sdp.Codec) bool { return !isEvent(c) && !isNoise(c) && !isRepair(c) }

func has(cs []sdp.Codec, c sdp.Codec) bool { return slices.ContainsFunc(cs, c.Same) }

func formats(cs []sdp.Codec) []string {
	var out []string
	for _, c := range cs {
		out = append(out, payload(c.Type))
	}
	return out
}

// offered are the formats of an offer for one end, made from those of the other end's: these first, in its order, then
// what the engine can make of them. before is what this end was told earlier in the call: a payload type keeps its
// meaning (RFC 3264 8.3.2).
func (g *Gateway) offered(kind engine.Kind, theirs, before []sdp.Codec, to Profile) []sdp.Codec {
	var out []sdp.Codec
	used := types{}
	for _, c := range before {
		used.take(c.Type)
	}
	add := func(c sdp.Codec) {
		if has(out, c) {
			return
		}
		if at := slices.IndexFunc(before, c.Same); at >= 0 {
			c.Type = before[at].Type
		} else if c.Type = used.free(c.Type); c.Type == none {
			return
		}
		used.take(c.Type)
		out = append(out, c)
	}
	if kind == engine.Video {
		for _, c := range theirs {
			if passed[strings.ToUpper(c.Name)] {
				add(c)
			}
		}
		return out
	}
	ours := g.voices()
	sound := false
	for _, c := range theirs {
		if carries(c) {
			add(c)
			sound = sound || has(ours, c)
		}
	}
	if sound {
		for _, c := range ours {
			if carries(c) {
				add(c)
			}
		}
	}
	wide := slices.ContainsFunc(out, func(c sdp.Codec) bool { return c.Clock == 48000 })
	for _, c := range ours {
		switch {
		case isEvent(c) && (c.Clock == 8000 || c.Clock == 48000 && wide && to == Browser):
			add(c)
		case isNoise(c) && to != Browser && has(theirs, c):
			add(c)
		}
	}
	return out
}

// agreed are the formats of the answer to an offer: offer is what one end has offered, took what the other one has
// accepted of what it was offered. What both have is taken alone, so that nothing has to be made of anything; without it, the
// one that the engine can make, in the order of the offer.
func (g *Gateway) agreed(kind engine.Kind, offer, took []sdp.Codec) []sdp.Codec {
	var out []sdp.Codec
	for _, c := range took {
		if at := slices.IndexFunc(offer, c.Same); at >= 0 && carries(c) && !has(out, c) {
			out = append(out, offer[at])
		}
	}
	if kind == engine.Video {
		return out
	}
	ours := g.voices()
	if len(out) == 0 {
		if !slices.ContainsFunc(took, func(c sdp.Codec) bool { return carries(c) && has(ours, c) }) {
			return nil
		}
		at := slices.IndexFunc(offer, func(c sdp.Codec) bool { return carries(c) && has(ours, c) })
		if at < 0 {
			return nil
		}
		out = append(out, offer[at])
	}
	clock := out[0].Clock
	events := slices.ContainsFunc(took, isEvent) || has(ours, out[0]) // keys become tones for who has no events
	for _, c := range offer {
		switch {
		case isEvent(c) && events && has(ours, c) && (c.Clock == clock || c.Clock == 8000),
			isNoise(c) && has(took, c) && has(ours, c):
			out = append(out, c)
		}
	}
	return out
}

// accepted are those of the formats that were offered to an end that it took, with the types of the offer: what it may
// send. took are they as it names them: what it wants to be sent.
func accepted(offer, answer []sdp.Codec) (sends, took []sdp.Codec) {
	for _, c := range answer {
		if at := slices.IndexFunc(offer, c.Same); at >= 0 && !isRepair(c) {
			took = append(took, c)
			sends = append(sends, offer[at])
		}
	}
	return sends, took
}

// types are the payload types in use.
type types [128]bool

const none = 255

func (t *types) take(pt uint8) { t[pt&127] = true }

// free returns a payload type that is not in use: the wanted one, or one of the dynamic ones.
func (t *types) free(want uint8) uint8 {
	if !t[want&127] {
		return want
	}
	for pt := uint8(96); pt < 128; pt++ {
		if !t[pt] {
			return pt
		}
	}
	return none
}
