package directory

import "strings"

// The longest number E.164 allows, and the longest extension kept.
const (
	maxDigits    = 15
	maxExtension = 10
)

// canonicalNumber turns a usual spelling of a number ("+1 (555) 0100",
// "tel:+1-555-0100;ext=42") into the key it is found by: "+15550100" or
// "+15550100;ext=42". RFC 3966 section 5.1.1 lists the visual separators.
func canonicalNumber(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	if len(s) >= 4 && strings.EqualFold(s[:4], "tel:") {
		s = s[4:]
	}
	number, params, _ := strings.Cut(strings.TrimSpace(s), ";")
	digits, plus := strings.CutPrefix(number, "+")
	digits, ok := onlyDigits(digits)
	if !plus || !ok || len(digits) < 3 || len(digits) > maxDigits {
		return "", false
	}
	key := "+" + digits
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(name, "ext") {
			continue
		}
		ext, ok := onlyDigits(value)
		if !ok || ext == "" || len(ext) > maxExtension {
			return "", false
		}
		key += ";ext=" + ext
		break
	}
	return key, true
}

// onlyDigits removes visual separators; ok is false when something else stands
// between the digits.
func onlyDigits(s string) (digits string, ok bool) {
	clean := true
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			clean = false
			break
		}
	}
	if clean {
		return s, true
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			b.WriteByte(c)
		case strings.IndexByte("-.() ", c) >= 0:
		default:
			return "", false
		}
	}
	return b.String(), true
}
