package sigauth

import (
	"crypto/rc4"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strconv"
	"time"

	"parley/internal/sip"
)

// Initiator is the client's side of an association made with NTLM. Probes, load generators and tests sign in with
// it. It is not safe for concurrent use.
type Initiator struct {
	p    Parameters
	keys Keys
	num  uint64
}

// NewInitiator answers an NTLM challenge, the value of a WWW-Authenticate field with gssapi-data. ntHash is MD4 of
// the password in UTF-16LE. The value of the Authorization field to answer with comes from Authorize.
func NewInitiator(challenge []byte, user, domain string, ntHash []byte, now time.Time, random io.Reader) (*Initiator, error) {
	var p Parameters
	if err := Parse(challenge, &p); err != nil {
		return nil, err
	}
	token, err := base64.StdEncoding.AppendDecode(nil, p.Data)
	if err != nil || p.Scheme != NTLM {
		return nil, ErrToken
	}
	var fresh [24]byte // client challenge and session key
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, err
	}
	answer, keys, err := answerNTLM(token, user, domain, ntHash, toFileTime(now), [8]byte(fresh[:8]), [16]byte(fresh[8:]))
	if err != nil {
		return nil, err
	}
	p.Data = base64.StdEncoding.AppendEncode(nil, answer)
	for _, v := range []*[]byte{&p.Realm, &p.TargetName, &p.Opaque} {
		*v = append([]byte(nil), *v...)
	}
	return &Initiator{p: p, keys: keys}, nil
}

// answerNTLM makes an AUTHENTICATE_MESSAGE and the keys it leads to.
func answerNTLM(challenge []byte, user, domain string, ntHash []byte, made uint64, nonce [8]byte, session [16]byte) ([]byte, Keys, error) {
	if len(challenge) < 48 {
		return nil, nil, ErrToken
	}
	size, at := int(binary.LittleEndian.Uint16(challenge[40:])), int64(binary.LittleEndian.Uint32(challenge[44:]))
	if at+int64(size) > int64(len(challenge)) {
		return nil, nil, ErrToken
	}
	blob := []byte{1, 1, 0, 0, 0, 0, 0, 0}
	blob = binary.LittleEndian.AppendUint64(blob, made)
	blob = append(append(blob, nonce[:]...), 0, 0, 0, 0)
	blob = append(append(blob, challenge[at:at+int64(size)]...), 0, 0, 0, 0)
	owf := hmacMD5(ntHash, appendUTF16(appendUTF16(nil, upperForms(user)[0]), domain))
	proof := hmacMD5(owf, challenge[24:32], blob)
	lm := append(hmacMD5(owf, challenge[24:32], nonce[:]), nonce[:]...)
	var sealed [16]byte
	c, _ := rc4.NewCipher(hmacMD5(owf, proof)) // the key has a right length
	c.XORKeyStream(sealed[:], session[:])

	const head = 72
	parts := [...][]byte{lm, append(proof, blob...), appendUTF16(nil, domain), appendUTF16(nil, user), appendUTF16(nil, "PROBE"), sealed[:]}
	b := binary.LittleEndian.AppendUint32(append([]byte(nil), ntlmSignature...), 3)
	offset := head
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p)))
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
		offset += len(p)
	}
	flags := binary.LittleEndian.Uint32(challenge[20:]) & (challengeFlags | 1<<2)
	b = append(binary.LittleEndian.AppendUint32(b, flags), ntlmVersion...)
	for _, p := range parts {
		b = append(b, p...)
	}
	k := &ntlmKeyPair{client: newNTLMKey(session, clientSigning, clientSealing), server: newNTLMKey(session, serverSigning, serverSealing)}
	return b, &initiatorKeys{k}, nil
}

// initiatorKeys are the keys of an association with the directions exchanged.
type initiatorKeys struct{ *ntlmKeyPair }

func (k *initiatorKeys) Sign(dst, text []byte) []byte { return k.client.append(dst, text) }

func (k *initiatorKeys) Verify(text, signature []byte) bool {
	return string(k.server.append(nil, text)) == string(signature)
}

// Authorize returns the value of the Authorization field for m. The first call is for the request that ends the
// handshake and includes the token.
func (i *Initiator) Authorize(m *sip.Message) string {
	i.num++
	i.p.Rand = appendHex32(nil, uint32(i.num)*0x9e3779b1)
	i.p.Num = strconv.AppendUint(nil, i.num, 10)
	i.p.Signature = hex.AppendEncode(nil, i.keys.Sign(nil, AppendText(nil, m, &i.p)))
	v := i.p
	if v.Data == nil {
		v.Version = 2 // not printed any more
	}
	i.p.Data = nil
	return string(v.AppendAuthorization(nil))
}

// Check verifies the server's signature of m.
func (i *Initiator) Check(m *sip.Message) error {
	var p Parameters
	if v := m.Header(sip.HAuthenticationInfo); v == nil || Parse(v, &p) != nil {
		return ErrUnsigned
	}
	signature, err := hex.DecodeString(string(p.Signature))
	if p.Version = i.p.Version; err != nil || !i.keys.Verify(AppendText(nil, m, &p), signature) {
		return ErrSignature
	}
	return nil
}
