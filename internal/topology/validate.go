package topology

import (
	"fmt"

	"parley/internal/tomlfile"
)

// Severity says whether a topology with the problem can be used.
type Severity uint8

// A warning is worth knowing; an error stops.
const (
	Warning Severity = iota + 1
	Failure
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Failure {
		return "error"
	}
	return "warning"
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong or doubtful about a topology.
type Problem struct {
	Severity Severity       `json:"severity"`
	Place    tomlfile.Place `json:"place"`
	Text     string         `json:"text"`          // what is wrong, a sentence without a full stop
	Fix      string         `json:"fix,omitempty"` // what to do about it
}

// String prints place, severity, text and fix on one line.
func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s", p.Severity, p.Text)
	if at := p.Place.String(); at != "" {
		s = at + ": " + s
	}
	if p.Fix != "" {
		s += " (" + p.Fix + ")"
	}
	return s
}

// Validate checks the whole and returns every problem, in the order of the checks. A topology without
// failures can be used.
func (s *Snapshot) Validate() []Problem { return nil }
