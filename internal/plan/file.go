package plan

import "strings"

// File is something to load: a set of rules, a zone, a script.
type File struct {
	Name   string // relative, with slashes
	Data   []byte
	Secret bool // for its owner only: it holds a private key
}

// fileName makes a name safe for files: zones may be called anything.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, s)
}

// Identifier makes a name of letters, digits and sep, for languages whose names have no other characters.
func Identifier(s, sep string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), sep):
			b.WriteString(sep)
		}
	}
	return strings.Trim(b.String(), sep)
}

// Remark makes a text safe for a comment on one line in any of the languages: printable ASCII without quotes,
// back quotes, dollar signs, braces and backslashes, cut to max bytes. Names and notes come from whoever wrote the topology.
func Remark(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r > '~':
			return ' '
		case strings.ContainsRune("\"'`$\\{}<>", r):
			return '.'
		}
		return r
	}, s)
	if len(s) > max {
		s = s[:max-2] + ".."
	}
	return strings.TrimSpace(s)
}
