package sip

import "math"

// Character classes of RFC 3261 section 25.1, one bit each.
const (
	cToken uint8 = 1 << iota // token
	cLWS                     // space, tab, and the CR LF of a fold
	cUser                    // user part: unreserved, user-unreserved
	cParam                   // URI parameter: unreserved, param-unreserved
	cHost                    // hostname, plus "_" which many sites have in theirs
	cURI                     // anything a URI may consist of, "%" included
	cHex
	cEnd // ends the value of a header parameter
)

var class [256]uint8

func init() {
	set := func(bit uint8, chars string) {
		for i := range len(chars) {
			class[chars[i]] |= bit
		}
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const unreserved = alnum + "-_.!~*'()"
	set(cToken, alnum+"-.!%*_+`'~")
	set(cLWS, " \t\r\n")
	// "#" is not in the grammar, but phones send service codes such as #31# unescaped in the user part.
	set(cUser, unreserved+"&=+$,;?/%#")
	set(cParam, unreserved+"[]/:&+$%")
	set(cHost, alnum+"-._")
	set(cURI, unreserved+";/?:@&=+$,%[]#")
	set(cHex, "0123456789abcdefABCDEF")
	set(cEnd, " \t\r\n;,\"")
}

func is(c byte, bits uint8) bool { return class[c]&bits != 0 }

func digit(c byte) bool { return c-'0' <= 9 }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares ASCII without case. It does not fold Unicode, on purpose: "ſip" is not "sip".
func equalFold[A, B []byte | string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// trim removes LWS, folds included, from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && is(b[0], cLWS) {
		b = b[1:]
	}
	for len(b) > 0 && is(b[len(b)-1], cLWS) {
		b = b[:len(b)-1]
	}
	return b
}

func skipLWS(b []byte, i int) int {
	for i < len(b) && is(b[i], cLWS) {
		i++
	}
	return i
}

// skipQuoted returns the index after the quoted string that begins at b[i], or -1 when it does not end.
func skipQuoted(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// parseUint reads all of b as a decimal number of at most 64 digits; a number above math.MaxUint32 reads as
// that, with exact false.
func parseUint(b []byte) (v uint32, exact, ok bool) {
	if len(b) == 0 || len(b) > 64 {
		return 0, false, false
	}
	var n uint64
	exact = true
	for _, c := range b {
		if !digit(c) {
			return 0, false, false
		}
		n = n*10 + uint64(c-'0')
		if n > math.MaxUint32 {
			n, exact = math.MaxUint32, false
		}
	}
	return uint32(n), exact, true
}

// allIn returns the index of the first character that is in none of the classes, -1 when there is none.
func allIn(b []byte, bits uint8) int {
	for i, c := range b {
		if !is(c, bits) {
			return i
		}
	}
	return -1
}

// number reports whether b has digits only.
func number(b []byte) bool {
	for _, c := range b {
		if !digit(c) {
			return false
		}
	}
	return true
}
