package digest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Nonces makes nonces and recognises its own without keeping any: each carries the time it was made and a keyed
// hash over it. A value is immutable and safe for concurrent use. Nodes that share the key accept each other's
// nonces.
type Nonces struct {
	inner, outer [sha256.BlockSize]byte // the key with the pads of HMAC applied
	life         time.Duration
}

// NonceLen is the length of a nonce in bytes.
const NonceLen = 32

const (
	timeLen = 6 // milliseconds since 1970
	saltLen = 6
	macLen  = 12
	rawLen  = timeLen + saltLen + macLen
)

// NewNonces returns a maker whose nonces are good for life. The key should have 32 random bytes.
func NewNonces(key []byte, life time.Duration) *Nonces {
	n := &Nonces{life: life}
	if len(key) > sha256.BlockSize {
		h := sha256.Sum256(key)
		key = h[:]
	}
	copy(n.inner[:], key)
	copy(n.outer[:], key)
	for i := range n.inner {
		n.inner[i] ^= 0x36
		n.outer[i] ^= 0x5c
	}
	return n
}

// Append appends a new nonce. salt makes two nonces of the same millisecond differ; 48 bits of it are used, and a
// random or a counting number will do.
func (n *Nonces) Append(dst []byte, now time.Time, salt uint64) []byte {
	var raw [rawLen]byte
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli()))
	copy(raw[:timeLen], b[2:])
	binary.BigEndian.PutUint64(b[:], salt)
	copy(raw[timeLen:timeLen+saltLen], b[2:])
	mac := n.mac(raw[:timeLen+saltLen])
	copy(raw[timeLen+saltLen:], mac[:macLen])
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// Verdict is what Check finds a nonce to be.
type Verdict uint8

// The verdicts. Only Fresh may be accepted; Stale is answered with a new challenge that says stale=true, so that
// the client does not ask its user again; Foreign gets a challenge without.
const (
	Foreign Verdict = iota
	Stale
	Fresh
)

// String returns the verdict's name.
func (v Verdict) String() string { return [...]string{"foreign", "stale", "fresh"}[v] }

// Check judges a nonce that came back. One from the future, by more than a minute, is foreign: clocks of a pool
// do not differ that much.
func (n *Nonces) Check(nonce []byte, now time.Time) Verdict {
	if len(nonce) != NonceLen {
		return Foreign
	}
	var raw [rawLen]byte
	if _, err := base64.RawURLEncoding.Decode(raw[:], nonce); err != nil {
		return Foreign
	}
	mac := n.mac(raw[:timeLen+saltLen])
	if subtle.ConstantTimeCompare(mac[:macLen], raw[timeLen+saltLen:]) != 1 {
		return Foreign
	}
	var b [8]byte
	copy(b[2:], raw[:timeLen])
	age := now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b[:]))))
	switch {
	case age < -time.Minute:
		return Foreign
	case age > n.life:
		return Stale
	}
	return Fresh
}

// mac is HMAC-SHA-256 over at most 64 bytes (RFC 2104), written out because crypto/hmac allocates.
func (n *Nonces) mac(data []byte) [sha256.Size]byte {
	var buf [2 * sha256.BlockSize]byte
	copy(buf[:], n.inner[:])
	sum := sha256.Sum256(buf[:sha256.BlockSize+copy(buf[sha256.BlockSize:], data)])
	copy(buf[:], n.outer[:])
	return sha256.Sum256(buf[:sha256.BlockSize+copy(buf[sha256.BlockSize:], sum[:])])
}

// Window remembers which counts of one nonce were used: the highest and the 64 before it, so that requests that
// overtake each other still pass and none passes twice. The zero value has seen none. It is not safe for
// concurrent use.
type Window struct {
	high uint32
	seen uint64 // bit i: high-i was used
}

// Accept reports whether nc is new, and remembers it. Counts below the window are refused, and so is 0, which
// is no count (RFC 7616 section 3.4).
func (w *Window) Accept(nc uint32) bool {
	switch {
	case nc == 0:
		return false
	case nc > w.high:
		if d := nc - w.high; d < 64 {
			w.seen <<= d
		} else {
			w.seen = 0
		}
		w.high = nc
		w.seen |= 1
		return true
	case w.high-nc >= 64 || w.seen&(1<<(w.high-nc)) != 0:
		return false
	}
	w.seen |= 1 << (w.high - nc)
	return true
}

// Stamp returns when a nonce was made and the salt it was made with. It is meaningful only for a nonce that Check
// does not call Foreign.
func Stamp(nonce []byte) (made time.Time, salt uint64) {
	var raw [rawLen]byte
	if len(nonce) != NonceLen {
		return made, 0
	}
	base64.RawURLEncoding.Decode(raw[:], nonce)
	var b [8]byte
	copy(b[2:], raw[:timeLen])
	made = time.UnixMilli(int64(binary.BigEndian.Uint64(b[:])))
	copy(b[2:], raw[timeLen:timeLen+saltLen])
	return made, binary.BigEndian.Uint64(b[:])
}
