package topology

import (
	"fmt"
	"slices"

	"parley/internal/tomlfile"
)

// Severity says whether a topology with the problem can be used.
type Severity uint8

// A warning is worth knowing; a failure stops.
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

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) error {
	switch string(b) {
	case "warning":
		*s = Warning
	case "error":
		*s = Failure
	default:
		return fmt.Errorf("%q is no severity", b)
	}
	return nil
}

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

// Failed reports whether a failure is among the problems.
func Failed(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Failure })
}

// Validate checks the whole and returns every problem, in the order of the document. A topology without
// failures can be used. One mistake gives one problem: checks that build on something that is already known
// to be wrong stay silent.
func (s *Snapshot) Validate() []Problem {
	c := &checker{s: s, t: s.topo}
	c.names()
	c.sites()
	c.pools()
	c.edges()
	c.around()
	c.trust()
	c.urls()
	c.features()
	c.media()
	c.zones()
	c.network()
	slices.SortStableFunc(c.found, func(a, b Problem) int {
		if a.Place.Line != b.Place.Line {
			return a.Place.Line - b.Place.Line
		}
		return a.Place.Column - b.Place.Column
	})
	return c.found
}

// checker collects problems.
type checker struct {
	s     *Snapshot
	t     *Topology
	found []Problem

	ringSites map[string]bool // sites that belong to each other, already reported
}

func (c *checker) fail(path, fix, format string, args ...any) {
	c.found = append(c.found, Problem{Failure, c.s.doc.Place(path), fmt.Sprintf(format, args...), fix})
}

func (c *checker) warn(path, fix, format string, args ...any) {
	c.found = append(c.found, Problem{Warning, c.s.doc.Place(path), fmt.Sprintf(format, args...), fix})
}

// unknown reports a reference to something that does not exist, with the nearest thing that does.
func (c *checker) unknown(path, what, name string, known []string) {
	fix := "there is none"
	if near := tomlfile.Nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) > 0 && len(known) <= 12 {
		fix = "there are " + list(known)
	} else if len(known) > 0 {
		fix = fmt.Sprintf("there are %d others", len(known))
	}
	c.fail(path, fix, "there is no %s %q", what, name)
}

func list(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " and "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

// pool checks an optional reference to a pool of certain kinds.
func (c *checker) pool(path string, name FQDN, what string, ok func(*Pool) bool) {
	if name == "" {
		return
	}
	p := c.s.pools[name]
	if p == nil {
		var known []string
		for i := range c.t.Pools {
			if ok(&c.t.Pools[i]) {
				known = append(known, string(c.t.Pools[i].FQDN))
			}
		}
		c.unknown(path, what, string(name), known)
		return
	}
	if !ok(p) {
		c.fail(path, "", "%s is a pool of kind %s, want %s", name, p.Kind, what)
	}
}

func (c *checker) site(path, name string) {
	if name == "" {
		c.fail(path, "", "the site is missing")
	} else if c.s.sites[name] == nil {
		var known []string
		for _, s := range c.t.Sites {
			known = append(known, s.Name)
		}
		c.unknown(path, "site", name, known)
	}
}

func (c *checker) zone(path, name string) {
	if name != "" && c.s.zones[name] == nil {
		var known []string
		for _, z := range c.t.Zones {
			known = append(known, z.Name)
		}
		c.unknown(path, "zone", name, known)
	}
}

func (c *checker) database(path string, name FQDN) {
	if name == "" {
		return
	}
	var known []string
	for _, d := range c.t.Databases {
		if d.FQDN == name {
			return
		}
		known = append(known, string(d.FQDN))
	}
	c.unknown(path, "database server", string(name), known)
}
