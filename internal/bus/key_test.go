package bus

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestKeysReadAsTheyLook(t *testing.T) {
	for _, row := range []struct {
		parts []string
		key   Key
	}{
		{[]string{"alice@example.test"}, "alice=40example=2Etest"},
		{[]string{"alice@example.test", "urn:uuid:1"}, "alice=40example=2Etest.urn=3Auuid=3A1"},
		{[]string{"", "a"}, "=.a"},
		{[]string{"A-z_0"}, "A-z_0"},
		{[]string{"*", ">", " ", "="}, "=2A.=3E.=20.=3D"},
		{[]string{"ä"}, "=C3=A4"},
	} {
		if got := MakeKey(row.parts...); got != row.key {
			t.Errorf("%q: got %s, want %s", row.parts, got, row.key)
		}
		if parts, err := row.key.Parts(); err != nil || !slices.Equal(parts, row.parts) {
			t.Errorf("%s: got %q, %v", row.key, parts, err)
		}
	}
}

func TestMalformedKeysAreRefused(t *testing.T) {
	for _, k := range []Key{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a@b", "=4", "=4g", "=41", "=6x", "=2e", "a=", "==", "ä",
		Key(strings.Repeat("a", MaxKey+1))} {
		if parts, err := k.Parts(); !errors.Is(err, ErrKey) {
			t.Errorf("%.20q: got %q, %v", string(k), parts, err)
		}
	}
}

// What a NATS server accepts as a key and as the tokens of a subject.
var natsKey = regexp.MustCompile(`^[-=_A-Za-z0-9]+(\.[-=_A-Za-z0-9]+)*$`)

func FuzzKey(f *testing.F) {
	f.Add("alice@example.test", "phone.1")
	f.Add("", "=")
	f.Add("\x00\xff", "*.>")
	f.Fuzz(func(t *testing.T, a, b string) {
		k := MakeKey(a, b)
		if !natsKey.MatchString(string(k)) {
			t.Fatalf("%q, %q: %q is no NATS key", a, b, k)
		}
		parts, err := k.Parts()
		if len(k) > MaxKey {
			if err == nil {
				t.Fatal("an endless key was accepted")
			}
		} else if err != nil || !slices.Equal(parts, []string{a, b}) {
			t.Fatalf("%q, %q: came back as %q, %v", a, b, parts, err)
		}
		// Any text is either refused or the one spelling of its parts.
		if parts, err := Key(a).Parts(); err == nil && MakeKey(parts...) != Key(a) {
			t.Fatalf("%q has a second spelling %q", a, MakeKey(parts...))
		}
	})
}
