package engine

import (
	"math"
	"strings"
	"time"
)

// quality estimates how a listener would judge a call, from 1 (bad) to 4.5 (as on a good telephone): the E-model of ITU-T
// G.107 with its default values, of which what a network adds is computed: loss (independent, and concealed as G.113
// appendix I has it for G.711 with concealment) and delay of one direction. Wide-band codecs are judged on the same scale,
// as if they were narrow-band; it tells networks apart, not codecs.
func quality(codec string, loss float64, delay time.Duration) float64 {
	const (
		best      = 93.2 // R of a perfect line, G.107 table 1
		telephone = 25.1 // Bpl: how well loss is borne
		others    = 16.1
	)
	robust := telephone
	if c := strings.ToUpper(codec); c != "PCMU" && c != "PCMA" {
		robust = others
	}
	percent := loss * 100
	ie := 95 * percent / (percent + robust)
	ms := float64(delay) / float64(time.Millisecond)
	id := 0.024 * ms // the simplified form, which bends at 177.3 ms
	if ms > 177.3 {
		id += 0.11 * (ms - 177.3)
	}
	r := min(max(best-ie-id, 0), 100)
	mos := 1 + 0.035*r + r*(r-60)*(100-r)*7e-6
	return math.Round(max(mos, 1)*100) / 100
}
