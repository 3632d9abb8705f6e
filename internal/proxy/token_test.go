package proxy

import (
	"bytes"
	"testing"
)

func sealer(key string) *tokens {
	t := &tokens{}
	t.init(nil, []byte(key))
	return t
}

func TestTokens(t *testing.T) {
	a, b := sealer("one key"), sealer("another key")
	for _, c := range []struct {
		kind    byte
		payload string
		bound   string
	}{{tokenStream, "12345678", ""}, {tokenUDP, "abcdefgh", ""}, {tokenUDP, "abcdefghijklmnopqrst", ""}, {tokenDialog, "", "call@example.test"}} {
		token := a.seal(nil, c.kind, []byte(c.payload), []byte(c.bound))
		if !looksLikeToken(token) {
			t.Errorf("%s does not look like a token", token)
		}
		if got, err := a.open(token, []byte(c.bound), nil); err != nil || string(got) != c.payload {
			t.Errorf("%s opens as %q, %v", token, got, err)
		}
		if _, err := b.open(token, []byte(c.bound), nil); err != errForged {
			t.Errorf("%s opens with another key: %v", token, err)
		}
		if c.kind == tokenDialog {
			if _, err := a.open(token, []byte("other@example.test"), nil); err != errForged {
				t.Errorf("%s opens in another dialog: %v", token, err)
			}
		}
		for i := range token {
			for _, x := range []byte{'A', 'f', 'u', 'd', '~'} {
				if token[i] == x {
					continue
				}
				other := bytes.Clone(token)
				other[i] = x
				// The last letter has bits that mean nothing.
				if got, err := a.open(other, []byte(c.bound), nil); err == nil && (i < len(token)-1 || string(got) != c.payload) {
					t.Errorf("%s, changed at %d to %s, opens", token, i, other)
				}
			}
		}
	}
}

// FuzzToken checks that nothing opens but what was sealed.
func FuzzToken(f *testing.F) {
	s := sealer("key")
	f.Add([]byte("f"), []byte("call"))
	f.Add(s.seal(nil, tokenStream, []byte("12345678"), nil), []byte("call"))
	f.Add(s.seal(nil, tokenDialog, nil, []byte("call")), []byte("call"))
	f.Fuzz(func(t *testing.T, token, bound []byte) {
		payload, err := s.open(token, bound, nil)
		if err != nil {
			return
		}
		again := s.seal(nil, token[0], payload, bound)
		if token[0] != tokenDialog {
			again = s.seal(nil, token[0], payload, nil)
		}
		if len(again) != len(token) || !bytes.Equal(again[:len(again)-1], token[:len(token)-1]) {
			t.Fatalf("%q opens as %q, which seals as %q", token, payload, again)
		}
	})
}
