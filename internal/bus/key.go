package bus

import (
	"fmt"
	"strings"
)

// Key names a value in a bucket, or the object a subject is about. It is made
// of parts, so that all keys below some parts can be watched together.
//
// Parts may be any text (addresses of record hold "@" and dots): letters,
// digits, "-" and "_" stand for themselves, every other byte is "=" and two
// hexadecimal digits, an empty part is a single "=". Equal keys have equal
// parts and the other way round.
type Key string

// MaxKey is the longest key in bytes.
const MaxKey = 2048

// MakeKey builds a key: MakeKey("alice@example.test", "phone1").
func MakeKey(parts ...string) Key {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		writePart(&b, part)
	}
	return Key(b.String())
}

// Parts reverses MakeKey. It accepts only what MakeKey makes.
func (k Key) Parts() ([]string, error) {
	if k == "" || len(k) > MaxKey {
		return nil, fmt.Errorf("%w: %.80q", ErrKey, string(k))
	}
	tokens := strings.Split(string(k), ".")
	for i, token := range tokens {
		part, ok := readPart(token)
		if !ok {
			return nil, fmt.Errorf("%w: %.80q", ErrKey, string(k))
		}
		tokens[i] = part
	}
	return tokens, nil
}

// Valid says whether k is a key that MakeKey makes, of an accepted length.
func (k Key) Valid() bool {
	_, err := k.Parts()
	return err == nil
}

const hexDigits = "0123456789ABCDEF"

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func writePart(b *strings.Builder, part string) {
	if part == "" {
		b.WriteByte('=')
		return
	}
	for i := 0; i < len(part); i++ {
		if c := part[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
}

func readPart(token string) (string, bool) {
	if token == "=" {
		return "", true
	}
	if token == "" {
		return "", false
	}
	if strings.IndexByte(token, '=') < 0 {
		for i := 0; i < len(token); i++ {
			if !plain(token[i]) {
				return "", false
			}
		}
		return token, true
	}
	out := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' {
			if i+2 >= len(token) {
				return "", false
			}
			hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			if plain(c) {
				return "", false // has a shorter form, which is the only one
			}
			i += 2
		} else if !plain(c) {
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}
