package directory

import (
	"testing"
)

func FuzzCanonicalNumber(f *testing.F) {
	for _, s := range []string{"+15550100", "tel:+1 (555) 0100;ext=42", "+1555;phone-context=x;ext=1;ext=2", "", "+0", ";ext=", "+123;ext=\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		number, ok := canonicalNumber(s)
		if !ok {
			return
		}
		if again, ok := canonicalNumber(number); !ok || again != number {
			t.Fatalf("%q: %q is not its own canonical form: %q", s, number, again)
		}
		if again, ok := canonicalNumber("tel:" + number); !ok || again != number {
			t.Fatalf("%q: as URI %q", s, again)
		}
	})
}

func FuzzVerifiers(f *testing.F) {
	f.Add(newVerifiers("alice@example.test", "correct-horse").encode())
	f.Add([]byte{9, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeVerifiers(b)
		if err != nil {
			return
		}
		for _, s := range []Secret{v.ha1(false, MD5), v.ha1(true, MD5), v.nt} {
			if s != nil && len(s) != 16 {
				t.Fatal(len(s))
			}
		}
	})
}

func FuzzParsePhoto(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"))
	f.Add([]byte("\xff\xd8\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePhoto(b)
		if err == nil && (p.Type != "image/jpeg" && p.Type != "image/png" || len(p.Image) > MaxPhoto) {
			t.Errorf("accepted %d bytes as %s", len(p.Image), p.Type)
		}
	})
}
