package sigauth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"hash"
)

// prf fills dst with the pseudorandom function of TLS 1.0 (RFC 2246 section 5).
func prf(dst, secret []byte, label string, seed ...[]byte) {
	half := (len(secret) + 1) / 2
	for i := range dst {
		dst[i] = 0
	}
	pHash(dst, md5.New, secret[:half], label, seed)
	pHash(dst, sha1.New, secret[len(secret)-half:], label, seed)
}

// pHash adds the stream P_hash to dst.
func pHash(dst []byte, new func() hash.Hash, secret []byte, label string, seed [][]byte) {
	h := hmac.New(new, secret)
	rest := func() {
		h.Write([]byte(label))
		for _, s := range seed {
			h.Write(s)
		}
	}
	rest()
	a := h.Sum(nil)
	for len(dst) > 0 {
		h.Reset()
		h.Write(a)
		rest()
		block := h.Sum(nil)
		n := min(len(block), len(dst))
		for i := range n {
			dst[i] ^= block[i]
		}
		dst = dst[n:]
		h.Reset()
		h.Write(a)
		a = h.Sum(nil)
	}
}
