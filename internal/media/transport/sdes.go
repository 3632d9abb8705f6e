package transport

import (
	"bytes"
	"errors"
	"strings"

	"parley/internal/sdp"
)

// sdes is what was agreed upon by a=crypto lines (RFC 4568).
type sdes struct {
	local   []sdp.Crypto // what is offered, and then the one that is used
	remote  sdp.Crypto
	tx, rx  *protection
	changed bool // tx or rx is another than before
}

// newSDES makes a key for each suite that is offered.
func newSDES(d Dialect) sdes {
	n := offered
	if d == Lync {
		n = offeredLync
	}
	var s sdes
	for i, x := range suites[:n] {
		s.local = append(s.local, sdp.Crypto{Tag: i + 1, Suite: x.name, Key: x.newKey(), Keys: 1})
	}
	return s
}

// usable reports whether a line of the peer can be agreed to: a suite that is known, one key, and no parameters but
// those that ask for nothing.
func usable(c sdp.Crypto) bool {
	if _, ok := suiteOf(c.Suite); !ok || c.Keys != 1 {
		return false
	}
	if c.MKI != "" {
		if _, ok := parseMKI(c.MKI); !ok {
			return false
		}
	}
	for p := range strings.FieldsSeq(c.Session) {
		if !strings.HasPrefix(p, "WSH=") && p != "KDR=0" {
			return false
		}
	}
	return true
}

// agree is s after a description of the peer. A key that did not change keeps its state: its streams go on.
func (s sdes) agree(lines []sdp.Crypto, answer bool) (sdes, error) {
	for _, c := range lines {
		if !usable(c) {
			continue
		}
		x, _ := suiteOf(c.Suite)
		ours := sdp.Crypto{Tag: c.Tag, Suite: c.Suite, Keys: 1}
		for _, l := range s.local {
			if l.Suite == c.Suite && (l.Tag == c.Tag || !answer) {
				ours.Key = l.Key
			}
		}
		switch {
		case ours.Key != nil:
		case answer:
			continue // not one of those that were offered
		default:
			ours.Key = x.newKey()
		}
		return s.use(x, ours, c)
	}
	return s, errors.New("media transport: no a=crypto line that can be agreed to")
}

func (s sdes) use(x suite, ours, theirs sdp.Crypto) (sdes, error) {
	next := sdes{local: []sdp.Crypto{ours}, remote: theirs, tx: s.tx, rx: s.rx}
	var err error
	if s.tx == nil || len(s.local) != 1 || s.local[0].Suite != ours.Suite || !bytes.Equal(s.local[0].Key, ours.Key) {
		next.changed = true
		if next.tx, err = newProtection(x, ours.Key, ""); err != nil {
			return s, err
		}
	}
	if s.rx == nil || s.remote.Suite != theirs.Suite || s.remote.MKI != theirs.MKI || !bytes.Equal(s.remote.Key, theirs.Key) {
		next.changed = true
		if next.rx, err = newProtection(x, theirs.Key, theirs.MKI); err != nil {
			return s, err
		}
	}
	return next, nil
}
