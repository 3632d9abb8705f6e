package directory

import "strings"

const (
	maxDigits    = 15 // E.164
	maxExtension = 15
)

// canonicalNumber turns a usual spelling of an international number
// ("+1 (555) 0100", "tel:+1-555-0100;ext=42") into the form it is found by:
// "+15550100" or "+15550100;ext=42". RFC 3966 section 5.1.1 lists the visual
// separators; parameters other than ext are dropped.
func canonicalNumber(text string) (string, bool) {
	if len(text) > 80 {
		return "", false
	}
	text = strings.TrimSpace(text)
	if len(text) > 4 && strings.EqualFold(text[:4], "tel:") {
		text = text[4:]
	}
	number, params, _ := strings.Cut(text, ";")
	number, global := strings.CutPrefix(strings.TrimSpace(number), "+")
	digits, ok := onlyDigits(number)
	if !global || !ok || len(digits) < 3 || len(digits) > maxDigits || digits[0] == '0' {
		return "", false
	}
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(name, "ext") {
			continue
		}
		ext, ok := onlyDigits(value)
		if !ok || ext == "" || len(ext) > maxExtension {
			return "", false
		}
		return "+" + digits + ";ext=" + ext, true
	}
	return "+" + digits, true
}

// onlyDigits removes visual separators; ok is false when something else stands
// between the digits.
func onlyDigits(text string) (digits string, ok bool) {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case '0' <= c && c <= '9':
			b.WriteByte(c)
		case strings.IndexByte("-.() ", c) < 0:
			return "", false
		}
	}
	return b.String(), true
}
