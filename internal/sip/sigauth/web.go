package sigauth

import (
	"crypto/rand"
	"time"

	"parley/internal/uc"
)

// NTLM of web services (RFC 4559 in its NTLM form) is the connection-oriented variant: the client begins with a
// NEGOTIATE_MESSAGE, and nothing is signed afterwards, so that no keys are made.

const webFlags = flagUnicode | flagNTLM | flagAlwaysSign | flagTargetDomain | flagExtendedSession | flagTargetInfo |
	flagVersion | flag128 | flag56 | flagSign

// WebChallenge is a challenge that was given out on a connection.
type WebChallenge [8]byte

// NewWebChallenge makes a CHALLENGE_MESSAGE of the server named host.
func NewWebChallenge(host string) (WebChallenge, []byte) {
	var c WebChallenge
	rand.Read(c[:])
	n := NamesOf(host)
	return c, appendNTLMChallenge(nil, &n, webFlags, c)
}

// VerifyWeb checks the AUTHENTICATE_MESSAGE that answers a challenge and returns who sent it.
func VerifyWeb(token []byte, c WebChallenge, find func(user, domain string) (Account, bool), now time.Time) (uc.AOR, error) {
	r, err := parseNTLMResponse(token, flagUnicode|flagNTLM|flagExtendedSession)
	if err != nil {
		return "", err
	}
	account, known := find(r.user, r.domain)
	if !known || len(account.NTHash) != 16 {
		account.NTHash, known = make([]byte, 16), false
	}
	if _, ok := r.verify(account.NTHash, c); !ok || !known {
		return "", ErrCredentials
	}
	if d := now.Sub(r.made); d > ntlmSkew || d < -ntlmSkew {
		return "", ErrClockSkew
	}
	return account.AOR, nil
}

// AnswerWeb makes the AUTHENTICATE_MESSAGE of a client, for probes and tests. ntHash is MD4 of the password in
// UTF-16LE.
func AnswerWeb(challenge []byte, user, domain string, ntHash []byte, now time.Time) ([]byte, error) {
	var fresh [24]byte
	rand.Read(fresh[:])
	b, _, err := answerNTLM(challenge, user, domain, ntHash, toFileTime(now), [8]byte(fresh[:8]), [16]byte(fresh[8:]))
	return b, err
}
