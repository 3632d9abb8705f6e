package sigauth

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
)

// The part of TLS 1.0 (RFC 2246) that TLS-DSK uses, as the server of one full handshake: RSA key exchange, AES
// in CBC mode with HMAC-SHA1, a certificate of the client, no session, no compression, no application data.
// It is not there to keep secrets, only to agree on keys: everything runs inside the TLS of the connection.
// The general TLS library does not fit, as it writes its first flight as several records and the client
// understands only one.

const (
	tls10       = 0x0301
	recordMax   = 1<<14 + 2048
	flightMax   = 1 << 16 // bytes of one flight of the client
	recordHead  = 5
	messageHead = 4

	recordChangeCipherSpec = 20
	recordHandshake        = 22

	typeClientHello        = 1
	typeServerHello        = 2
	typeCertificate        = 11
	typeCertificateRequest = 13
	typeServerHelloDone    = 14
	typeCertificateVerify  = 15
	typeClientKeyExchange  = 16
	typeFinished           = 20

	suiteAES128 = 0x002f // TLS_RSA_WITH_AES_128_CBC_SHA
	suiteAES256 = 0x0035 // TLS_RSA_WITH_AES_256_CBC_SHA
)

// Errors of the inner handshake.
var (
	errTLS         = errors.New("malformed TLS handshake")
	errSuite       = errors.New("no cipher suite in common")
	errCertificate = errors.New("no certificate of the client")
	errProof       = errors.New("the client does not hold the key of its certificate")
	errFinished    = errors.New("the handshake was tampered with")
)

// Certificate is what the server shows in the inner handshake of TLS-DSK. The key must be an RSA key: nothing
// else can be used with the key exchange of the clients.
type Certificate struct {
	Chain [][]byte // DER, the own one first
	Key   crypto.Decrypter
	// Authorities are the DER subjects of the authorities whose certificates are taken, for clients that have
	// several to choose from.
	Authorities [][]byte
}

// dsk is the server's side of one inner handshake: hello, then finish.
type dsk struct {
	cert         *Certificate
	suite        uint16
	clientRandom [32]byte
	serverRandom [32]byte
	transcript   []byte // all handshake messages so far
}

// hello takes the ClientHello and returns ServerHello to ServerHelloDone as one record.
func (d *dsk) hello(records []byte, rand io.Reader) ([]byte, error) {
	if len(records) > flightMax {
		return nil, errTLS
	}
	var messages []byte
	for len(records) > 0 {
		kind, content, rest, ok := cutRecord(records)
		if !ok || kind != recordHandshake {
			return nil, errTLS
		}
		messages, records = append(messages, content...), rest
	}
	body, rest, ok := cutMessage(messages, typeClientHello)
	if !ok || len(rest) > 0 {
		return nil, errTLS
	}
	secure, err := d.clientHello(body)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(rand, d.serverRandom[:]); err != nil {
		return nil, err
	}
	d.transcript = messages

	b := append(make([]byte, 0, 4096), recordHandshake, tls10>>8, tls10&0xff, 0, 0)
	b = appendMessage(b, typeServerHello, func(b []byte) []byte {
		b = append(b, tls10>>8, tls10&0xff)
		b = append(b, d.serverRandom[:]...)
		b = append(b, 0) // no session
		b = binary.BigEndian.AppendUint16(b, d.suite)
		b = append(b, 0) // no compression
		if secure {
			b = append(b, 0, 5, 0xff, 0x01, 0, 1, 0) // RFC 5746, only to those who know it
		}
		return b
	})
	b = appendMessage(b, typeCertificate, func(b []byte) []byte {
		return appendVector(b, 3, func(b []byte) []byte {
			for _, der := range d.cert.Chain {
				b = appendVector(b, 3, func(b []byte) []byte { return append(b, der...) })
			}
			return b
		})
	})
	b = appendMessage(b, typeCertificateRequest, func(b []byte) []byte {
		b = append(b, 1, 1) // rsa_sign
		return appendVector(b, 2, func(b []byte) []byte {
			for _, name := range d.cert.Authorities {
				b = appendVector(b, 2, func(b []byte) []byte { return append(b, name...) })
			}
			return b
		})
	})
	b = appendMessage(b, typeServerHelloDone, func(b []byte) []byte { return b })
	size := len(b) - recordHead
	if size > 1<<14 {
		return nil, errors.New("the certificates of the server do not fit into one TLS record")
	}
	binary.BigEndian.PutUint16(b[3:], uint16(size))
	d.transcript = append(d.transcript, b[recordHead:]...)
	return b, nil
}

// clientHello reads the body of the first message (7.4.1.2).
func (d *dsk) clientHello(b []byte) (secure bool, err error) {
	if len(b) < 2+32 || binary.BigEndian.Uint16(b) < tls10 {
		return false, errTLS
	}
	copy(d.clientRandom[:], b[2:])
	_, b, ok1 := cutVector(b[34:], 1) // session
	suites, b, ok2 := cutVector(b, 2)
	compression, b, ok3 := cutVector(b, 1)
	if !ok1 || !ok2 || !ok3 || len(suites)%2 != 0 {
		return false, errTLS
	}
	if bytes.IndexByte(compression, 0) < 0 {
		return false, errSuite
	}
	for ; len(suites) > 0; suites = suites[2:] {
		switch s := binary.BigEndian.Uint16(suites); s {
		case suiteAES128, suiteAES256:
			if d.suite == 0 {
				d.suite = s
			}
		case 0x00ff: // RFC 5746 section 3.3
			secure = true
		}
	}
	if d.suite == 0 {
		return false, errSuite
	}
	if len(b) > 0 {
		extensions, rest, ok := cutVector(b, 2)
		if !ok || len(rest) > 0 {
			return false, errTLS
		}
		for len(extensions) > 0 {
			if len(extensions) < 4 {
				return false, errTLS
			}
			id := binary.BigEndian.Uint16(extensions)
			if _, extensions, ok = cutVector(extensions[2:], 2); !ok {
				return false, errTLS
			}
			secure = secure || id == 0xff01
		}
	}
	return secure, nil
}

// finish takes the client's second flight. It returns the client's certificates, of which only the possession of
// the first one's key was proved, the server's last flight and the keys.
func (d *dsk) finish(records []byte, rand io.Reader) (chain []*x509.Certificate, out []byte, keys Keys, err error) {
	if len(records) > flightMax {
		return nil, nil, nil, errTLS
	}
	var messages []byte
	var sealed []byte // the record after ChangeCipherSpec
	changed := false
	for len(records) > 0 {
		kind, content, rest, ok := cutRecord(records)
		if !ok {
			return nil, nil, nil, errTLS
		}
		switch {
		case !changed && kind == recordHandshake:
			messages = append(messages, content...)
		case !changed && kind == recordChangeCipherSpec && len(content) == 1 && content[0] == 1:
			changed = true
		case changed && kind == recordHandshake && sealed == nil:
			sealed = content
		default:
			return nil, nil, nil, errTLS
		}
		records = rest
	}
	if sealed == nil {
		return nil, nil, nil, errTLS
	}

	all := messages
	body, messages, ok := cutMessage(messages, typeCertificate)
	if !ok {
		return nil, nil, nil, errTLS
	}
	if chain, err = parseChain(body); err != nil {
		return nil, nil, nil, err
	}
	body, messages, ok = cutMessage(messages, typeClientKeyExchange)
	if !ok {
		return nil, nil, nil, errTLS
	}
	secret, rest, ok := cutVector(body, 2)
	if !ok || len(rest) > 0 {
		return nil, nil, nil, errTLS
	}
	signed := append(d.transcript, all[:len(all)-len(messages)]...)
	body, messages, ok = cutMessage(messages, typeCertificateVerify)
	if !ok || len(messages) > 0 {
		return nil, nil, nil, errTLS
	}
	signature, rest, ok := cutVector(body, 2)
	if !ok || len(rest) > 0 {
		return nil, nil, nil, errTLS
	}
	key, isRSA := chain[0].PublicKey.(*rsa.PublicKey)
	if !isRSA || key.Size() > 1024 || rsa.VerifyPKCS1v15(key, crypto.MD5SHA1, hashes(signed), signature) != nil {
		return nil, nil, nil, errProof
	}

	master, err := d.master(secret, rand)
	if err != nil {
		return nil, nil, nil, err
	}
	d.transcript = append(d.transcript, all...)
	read, write := d.records(master)
	plain, ok := read.open(sealed)
	if !ok {
		return nil, nil, nil, errFinished
	}
	body, rest, ok = cutMessage(plain, typeFinished)
	if !ok || len(rest) > 0 || !hmac.Equal(body, d.verifyData(master, "client finished")) {
		return nil, nil, nil, errFinished
	}
	d.transcript = append(d.transcript, plain...)
	last := appendMessage(nil, typeFinished, func(b []byte) []byte {
		return append(b, d.verifyData(master, "server finished")...)
	})
	out = []byte{recordChangeCipherSpec, tls10 >> 8, tls10 & 0xff, 0, 1, 1}
	return chain, write.seal(out, last), d.export(master), nil
}

// parseChain reads the body of a Certificate message (7.4.2).
func parseChain(b []byte) ([]*x509.Certificate, error) {
	list, rest, ok := cutVector(b, 3)
	if !ok || len(rest) > 0 {
		return nil, errTLS
	}
	var chain []*x509.Certificate
	for len(list) > 0 {
		var der []byte
		if der, list, ok = cutVector(list, 3); !ok || len(chain) == 8 {
			return nil, errTLS
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errCertificate
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errCertificate
	}
	return chain, nil
}

// master decrypts the premaster secret and makes the master secret (8.1). What cannot be decrypted is replaced by
// something random, so that the answer does not show it (Bleichenbacher).
func (d *dsk) master(encrypted []byte, rand io.Reader) ([]byte, error) {
	premaster, err := d.cert.Key.Decrypt(rand, encrypted, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: 48})
	if err != nil {
		return nil, errTLS // of a length that cannot be: no secret in that
	}
	master := make([]byte, 48)
	prf(master, premaster, "master secret", d.clientRandom[:], d.serverRandom[:])
	return master, nil
}

// records makes the keys of the two directions of the record layer (6.3).
func (d *dsk) records(master []byte) (read, write half) {
	keyLen := 16
	if d.suite == suiteAES256 {
		keyLen = 32
	}
	block := make([]byte, 2*sha1.Size+2*keyLen+2*aes.BlockSize)
	prf(block, master, "key expansion", d.serverRandom[:], d.clientRandom[:])
	cut := func(n int) (b []byte) { b, block = block[:n], block[n:]; return b }
	read.mac, write.mac = cut(sha1.Size), cut(sha1.Size)
	read.block, write.block = newAES(cut(keyLen)), newAES(cut(keyLen))
	read.iv, write.iv = cut(aes.BlockSize), cut(aes.BlockSize)
	return read, write
}

func newAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has a right length
	}
	return b
}

// export makes the keys of the association as EAP-TLS does (RFC 5216 section 2.3).
func (d *dsk) export(master []byte) Keys {
	var block [128]byte
	prf(block[:], master, "client EAP encryption", d.clientRandom[:], d.serverRandom[:])
	return &hmacKeys{client: [32]byte(block[64:96]), server: [32]byte(block[96:])}
}

func (d *dsk) verifyData(master []byte, label string) []byte {
	out := make([]byte, 12)
	prf(out, master, label, hashes(d.transcript))
	return out
}

// hashes are MD5 and SHA-1 of b, one after the other.
func hashes(b []byte) []byte {
	m, s := md5.Sum(b), sha1.Sum(b)
	return append(m[:], s[:]...)
}

// half is one direction of the record layer, for one record.
type half struct {
	block   cipher.Block
	mac, iv []byte
}

func (h *half) sum(content []byte) []byte {
	m := hmac.New(sha1.New, h.mac)
	m.Write(make([]byte, 8)) // sequence number of the first record
	m.Write([]byte{recordHandshake, tls10 >> 8, tls10 & 0xff, byte(len(content) >> 8), byte(len(content))})
	m.Write(content)
	return m.Sum(nil)
}

// seal appends content as an encrypted record to dst (6.2.3.2).
func (h *half) seal(dst, content []byte) []byte {
	b := append(append([]byte(nil), content...), h.sum(content)...)
	pad := aes.BlockSize - len(b)%aes.BlockSize
	for range pad {
		b = append(b, byte(pad-1))
	}
	cipher.NewCBCEncrypter(h.block, h.iv).CryptBlocks(b, b)
	dst = append(dst, recordHandshake, tls10>>8, tls10&0xff, byte(len(b)>>8), byte(len(b)))
	return append(dst, b...)
}

// open decrypts a record. The keys serve this one handshake, so there is nobody who could learn from the time it
// takes.
func (h *half) open(b []byte) ([]byte, bool) {
	if len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(b))
	cipher.NewCBCDecrypter(h.block, h.iv).CryptBlocks(plain, b)
	pad := int(plain[len(plain)-1]) + 1
	if pad+sha1.Size > len(plain) {
		return nil, false
	}
	for _, c := range plain[len(plain)-pad:] {
		if int(c) != pad-1 {
			return nil, false
		}
	}
	content := plain[:len(plain)-pad-sha1.Size]
	mac := plain[len(content) : len(content)+sha1.Size]
	return content, subtle.ConstantTimeCompare(mac, h.sum(content)) == 1
}

// hmacKeys sign with HMAC-SHA1, the MAC of the suites.
type hmacKeys struct{ client, server [32]byte }

func (k *hmacKeys) Sign(dst, text []byte) []byte { return appendHMAC(dst, &k.server, text) }

func (k *hmacKeys) Verify(text, signature []byte) bool {
	var buf [sha1.Size]byte
	return hmac.Equal(appendHMAC(buf[:0], &k.client, text), signature)
}

func appendHMAC(dst []byte, key *[32]byte, text []byte) []byte {
	h := hmac.New(sha1.New, key[:])
	h.Write(text)
	return h.Sum(dst)
}

// cutRecord takes a TLS record off.
func cutRecord(b []byte) (kind byte, content, rest []byte, ok bool) {
	if len(b) < recordHead || b[1] != tls10>>8 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n == 0 || n > recordMax || n > len(b)-recordHead {
		return 0, nil, nil, false
	}
	return b[0], b[recordHead : recordHead+n], b[recordHead+n:], true
}

// cutMessage takes a handshake message of a type off.
func cutMessage(b []byte, kind byte) (body, rest []byte, ok bool) {
	if len(b) < messageHead || b[0] != kind {
		return nil, nil, false
	}
	return cutVector(b[1:], 3)
}

// cutVector takes a vector off whose length stands before it in size bytes.
func cutVector(b []byte, size int) (v, rest []byte, ok bool) {
	if len(b) < size {
		return nil, nil, false
	}
	n := 0
	for _, c := range b[:size] {
		n = n<<8 | int(c)
	}
	if b = b[size:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// appendVector appends what body appends, after its length in size bytes.
func appendVector(dst []byte, size int, body func([]byte) []byte) []byte {
	at := len(dst)
	dst = body(append(dst, make([]byte, size)...))
	n := len(dst) - at - size
	for i := size - 1; i >= 0; i-- {
		dst[at+i] = byte(n)
		n >>= 8
	}
	return dst
}

func appendMessage(dst []byte, kind byte, body func([]byte) []byte) []byte {
	return appendVector(append(dst, kind), 3, body)
}
