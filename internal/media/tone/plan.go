package tone

import (
	"maps"
	"slices"
	"time"
)

// Plan is the tones that callers of a country know.
type Plan struct {
	Dial       Tone
	Ringback   Tone
	Busy       Tone
	Congestion Tone // no line is free, or the number cannot be reached
}

// Information precedes an announcement (ITU-T E.180 clause 7): three rising tones, the same everywhere.
func Information() Tone {
	third := func(hertz float64) Step { return on(330*time.Millisecond, hertz) }
	return Tone{Steps: []Step{third(950), third(1400), third(1800), off(time.Second)}}
}

const ms = time.Millisecond

// on is one or two frequencies at the level that E.180 recommends for the whole: -10 dBm0.
func on(length time.Duration, hertz ...float64) Step {
	s := Step{Length: length}
	level := -10.0
	if len(hertz) == 2 {
		level = -13
	}
	for i, h := range hertz {
		s.Hertz[i], s.Level[i] = h, level
	}
	return s
}

func off(length time.Duration) Step { return Step{Length: length} }

// cadence alternates the frequencies with silence: on, off, on, off.
func cadence(hertz []float64, lengths ...time.Duration) Tone {
	var t Tone
	for i, l := range lengths {
		if i%2 == 0 {
			t.Steps = append(t.Steps, on(l*ms, hertz...))
		} else {
			t.Steps = append(t.Steps, off(l*ms))
		}
	}
	return t
}

// The tones of ITU-T E.180 supplement 2, by ISO 3166 code.
var plans = map[string]Plan{
	"us": northAmerica,
	"ca": northAmerica,
	"kr": {
		Dial:       cadence([]float64{350, 440}, 0),
		Ringback:   cadence([]float64{440, 480}, 1000, 2000),
		Busy:       cadence([]float64{480, 620}, 500, 500),
		Congestion: cadence([]float64{480, 620}, 300, 200),
	},
	"gb": {
		Dial:       cadence([]float64{350, 440}, 0),
		Ringback:   cadence([]float64{400, 450}, 400, 200, 400, 2000),
		Busy:       cadence([]float64{400}, 375, 375),
		Congestion: cadence([]float64{400}, 400, 350, 225, 525),
	},
	"de": {
		Dial:       cadence([]float64{425}, 0),
		Ringback:   cadence([]float64{425}, 1000, 4000),
		Busy:       cadence([]float64{425}, 480, 480),
		Congestion: cadence([]float64{425}, 240, 240),
	},
	"fr": {
		Dial:       cadence([]float64{440}, 0),
		Ringback:   cadence([]float64{440}, 1500, 3500),
		Busy:       cadence([]float64{440}, 500, 500),
		Congestion: cadence([]float64{440}, 250, 250),
	},
	"it": {
		Dial:       cadence([]float64{425}, 200, 200, 600, 1000),
		Ringback:   cadence([]float64{425}, 1000, 4000),
		Busy:       cadence([]float64{425}, 500, 500),
		Congestion: cadence([]float64{425}, 200, 200),
	},
	"jp": {
		Dial:       cadence([]float64{400}, 0),
		Ringback:   cadence([]float64{400, 416}, 1000, 2000), // two tones beat 16 times a second, as the modulated one does
		Busy:       cadence([]float64{400}, 500, 500),
		Congestion: cadence([]float64{400}, 500, 500),
	},
	"cn": {
		Dial:       cadence([]float64{450}, 0),
		Ringback:   cadence([]float64{450}, 1000, 4000),
		Busy:       cadence([]float64{450}, 350, 350),
		Congestion: cadence([]float64{450}, 700, 700),
	},
}

var northAmerica = Plan{
	Dial:       cadence([]float64{350, 440}, 0),
	Ringback:   cadence([]float64{440, 480}, 2000, 4000),
	Busy:       cadence([]float64{480, 620}, 500, 500),
	Congestion: cadence([]float64{480, 620}, 250, 250),
}

// For returns the plan of a country by its ISO 3166 code in lower case; ok is false when it is not known.
func For(country string) (p Plan, ok bool) {
	p, ok = plans[country]
	return p, ok
}

// Countries lists the codes that For knows, sorted.
func Countries() []string { return slices.Sorted(maps.Keys(plans)) }
