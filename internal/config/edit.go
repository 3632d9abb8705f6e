package config

import (
	"fmt"
	"strings"
)

// Set returns the text of a node file with one key changed, and everything else
// (comments, order, spelling) as it was. value is TOML: a quoted string, a
// number, true, or an array on one line. The result is not validated.
//
// A commented default line of the key is replaced, as the sample file has one;
// without any the key is put at the end of its section, and without a section
// that is added.
func Set(text []byte, section, key, value string) ([]byte, error) {
	if strings.ContainsAny(value, "\r\n") {
		return nil, fmt.Errorf("%s.%s: a value on several lines is to be edited in the file", section, key)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	line := key + " = " + value
	in := false
	commented, last := -1, -1
	for i, l := range lines {
		trimmed := strings.TrimSpace(l)
		if strings.HasPrefix(trimmed, "[") {
			in = strings.TrimSpace(strings.Trim(strings.SplitN(trimmed, "#", 2)[0], " \t[]")) == section
			if in {
				last = i
			}
			continue
		}
		if !in {
			continue
		}
		if trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			last = i
		}
		bare := strings.TrimSpace(strings.TrimPrefix(trimmed, "#"))
		name, old, ok := strings.Cut(bare, "=")
		if !ok || strings.TrimSpace(name) != key {
			continue
		}
		if strings.HasPrefix(trimmed, "#") {
			commented = i
			last = i
			continue
		}
		if open := strings.Count(old, "[") - strings.Count(old, "]"); open != 0 || strings.Contains(old, `"""`) || strings.Contains(old, "'''") {
			return nil, fmt.Errorf("%s.%s is written on several lines: edit it in the file", section, key)
		}
		lines[i] = line
		return []byte(strings.Join(lines, "\n") + "\n"), nil
	}
	switch {
	case commented >= 0:
		lines[commented] = line
	case last >= 0:
		lines = append(lines[:last+1], append([]string{line}, lines[last+1:]...)...)
	default:
		lines = append(lines, "", "["+section+"]", line)
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}
