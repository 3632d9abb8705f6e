package sip

// Limits bounds what is read from a peer. They are checked before anything is kept or allocated. A field that
// is zero takes the value of DefaultLimits.
type Limits struct {
	MaxMessage    int // bytes of a whole message; more is answered 513
	MaxHead       int // bytes of start line and header fields together; more is answered 513
	MaxHeaders    int // header fields, at most 255; more is answered 513
	MaxHeaderLine int // bytes of one header field with its folds; more is answered 513
	MaxBody       int // bytes of body; more is answered 413
}

// DefaultLimits is what a client's flow gets: 128 KiB a message.
var DefaultLimits = Limits{MaxMessage: 128 << 10, MaxHead: 64 << 10, MaxHeaders: 255, MaxHeaderLine: 32 << 10, MaxBody: 128 << 10}

// ServerLimits is what the flow of a trusted server gets: 5000 KiB a message.
var ServerLimits = Limits{MaxMessage: 5000 << 10, MaxHead: 128 << 10, MaxHeaders: 255, MaxHeaderLine: 64 << 10, MaxBody: 5000 << 10}

// or returns the limits with every unset field filled in.
func (l *Limits) or() *Limits {
	if l == nil {
		return &DefaultLimits
	}
	if l.MaxMessage > 0 && l.MaxHead > 0 && l.MaxHeaders > 0 && l.MaxHeaders <= 255 && l.MaxHeaderLine > 0 && l.MaxBody > 0 {
		return l
	}
	f := *l
	fill := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	fill(&f.MaxMessage, DefaultLimits.MaxMessage)
	fill(&f.MaxHead, DefaultLimits.MaxHead)
	fill(&f.MaxHeaders, DefaultLimits.MaxHeaders)
	f.MaxHeaders = min(f.MaxHeaders, 255)
	fill(&f.MaxHeaderLine, DefaultLimits.MaxHeaderLine)
	fill(&f.MaxBody, DefaultLimits.MaxBody)
	return &f
}
