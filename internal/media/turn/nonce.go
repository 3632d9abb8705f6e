package turn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
)

// nonceLife is how long a nonce is taken; after it the answer is 438 and a fresh one.
const nonceLife = time.Hour

const nonceLen = 4 + 12

// nonce is good for one address until it is old, and nothing of it is kept: when it was made, and an HMAC of that and the
// address.
func nonce(key []byte, to netip.Addr, now time.Time) string {
	var b [nonceLen]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix()))
	copy(b[4:], nonceMAC(key, b[:4], to))
	return hex.EncodeToString(b[:])
}

// checkNonce reports whether text is a nonce of ours for the address that is not too old.
func checkNonce(key []byte, text []byte, from netip.Addr, now time.Time) bool {
	var b [nonceLen]byte
	if len(text) != hex.EncodedLen(nonceLen) {
		return false
	}
	if _, err := hex.Decode(b[:], text); err != nil || !hmac.Equal(b[4:], nonceMAC(key, b[:4], from)) {
		return false
	}
	age := now.Unix() - int64(binary.BigEndian.Uint32(b[:]))
	return age >= 0 && age < int64(nonceLife/time.Second)
}

func nonceMAC(key, made []byte, addr netip.Addr) []byte {
	m := hmac.New(sha256.New, key)
	a := addr.As16()
	m.Write(made)
	m.Write(a[:])
	return m.Sum(nil)[:nonceLen-4]
}
