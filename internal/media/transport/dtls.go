package transport

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"parley/internal/sdp"
)

// How long a handshake may last. A server waits for a peer that begins when somebody has taken the call.
const (
	serverTime = 3 * time.Minute
	clientTime = 30 * time.Second
)

// dtlsSuites are the profiles of DTLS-SRTP in order of preference (RFC 5764 4.1.2, RFC 7714), and their suites.
var dtlsSuites = []struct {
	profile dtls.SRTPProtectionProfile
	suite   string
}{
	{dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM"},
	{dtls.SRTP_AES128_CM_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80"},
	{dtls.SRTP_AEAD_AES_256_GCM, "AEAD_AES_256_GCM"},
}

// association is DTLS with the peer for one component (RFC 5764 3).
type association struct {
	k      *component
	pipe   *pipe
	cancel context.CancelFunc
	begun  bool
	client bool
	peer   []sdp.Fingerprint
}

// handshakes is what was agreed upon for DTLS.
type handshakes struct {
	peer   []sdp.Fingerprint
	setup  string // ours: "active" or "passive"
	failed bool
}

// setupOf is our part, when the peer says theirs; before is ours so far. Where the peer leaves the choice we begin (RFC
// 8842 5.3), once ICE has shown that it is ready; without ICE nothing shows that before it begins itself.
func setupOf(theirs string, answer, withICE bool, before string) (string, error) {
	switch {
	case theirs == "active" || theirs == "" && answer:
		return "passive", nil
	case theirs == "passive":
		return "active", nil
	case theirs == "holdconn" && before != "":
		return before, nil
	case answer:
		return "", fmt.Errorf("media transport: setup:%.20s in an answer", theirs)
	case before != "":
		return before, nil // RFC 8842 5.3: an association that goes on keeps its parts
	case withICE:
		return "active", nil
	}
	return "passive", nil
}

// supported are those of the fingerprints that can be checked: SHA-1 and older are not taken any more.
func supported(all []sdp.Fingerprint) []sdp.Fingerprint {
	var ok []sdp.Fingerprint
	for _, f := range all {
		if size := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}[f.Hash]; size > 0 && size == len(f.Sum) {
			ok = append(ok, f)
		}
	}
	return ok
}

func sameFingerprints(a, b []sdp.Fingerprint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].String() != b[i].String() {
			return false
		}
	}
	return true
}

// matches reports whether a certificate is the one that a description named (RFC 8122 5).
func matches(cert []byte, fingerprints []sdp.Fingerprint) bool {
	for _, f := range fingerprints {
		var sum []byte
		switch f.Hash {
		case "sha-256":
			s := sha256.Sum256(cert)
			sum = s[:]
		case "sha-384":
			s := sha512.Sum384(cert)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(cert)
			sum = s[:]
		}
		if len(sum) > 0 && subtle.ConstantTimeCompare(sum, f.Sum) == 1 {
			return true
		}
	}
	return false
}

func fingerprint(c *tls.Certificate) sdp.Fingerprint {
	s := sha256.Sum256(c.Certificate[0])
	return sdp.Fingerprint{Hash: "sha-256", Sum: s[:]}
}

// errFingerprint ends a handshake with somebody else than the one described.
var errFingerprint = errors.New("media transport: the certificate is not the one that the description named")

// associate begins an association of a component, in the place of any that it has: with somebody else, for whom the
// keys of that one are not. A server waits for the peer at once, a client until there is where to send. The caller
// holds t.mu.
func (t *Transport) associate(k *component) {
	t.dissociate(k)
	k.protect(nil, nil)
	k.dtls = &association{k: k, pipe: newPipe(k), client: t.dtls.setup == "active", peer: t.dtls.peer}
	k.rx.Lock()
	k.rx.pipe = k.dtls.pipe
	k.rx.Unlock()
	t.shake(k)
}

// dissociate ends the association of a component.
func (t *Transport) dissociate(k *component) {
	a := k.dtls
	if a == nil {
		return
	}
	k.dtls = nil
	k.rx.Lock()
	k.rx.pipe = nil
	k.rx.Unlock()
	a.pipe.Close()
	if a.cancel != nil {
		a.cancel()
	}
}

// shake begins the handshake of a component, if it may begin and has not. The caller holds t.mu.
func (t *Transport) shake(k *component) {
	a := k.dtls
	if a == nil || a.begun || t.state == Closed || a.client && !k.path().IsValid() {
		return
	}
	a.begun = true
	var ctx context.Context
	limit := serverTime
	if a.client {
		limit = clientTime
	}
	ctx, a.cancel = context.WithTimeout(context.Background(), limit)
	t.readers.Go(func() {
		defer a.cancel()
		t.handshake(ctx, a)
	})
}

func (t *Transport) handshake(ctx context.Context, a *association) {
	conn, err := t.connect(a)
	if err == nil {
		defer conn.Close()
		if err = conn.HandshakeContext(ctx); err == nil {
			err = t.exported(a, conn)
		}
	}
	if err != nil {
		t.config.Log.Debug("media handshake failed", "err", err)
		t.mu.Lock()
		if a.k.dtls == a {
			t.dtls.failed = true
			t.settle()
		}
		t.mu.Unlock()
		a.pipe.Close()
		return
	}
	// The connection answers flights that the peer repeats, and ends by close_notify. No data is spoken.
	buf := make([]byte, maxPacket)
	for {
		if _, err := conn.Read(buf); err != nil {
			a.pipe.Close()
			return
		}
	}
}

func (t *Transport) connect(a *association) (*dtls.Conn, error) {
	var profiles []dtls.SRTPProtectionProfile
	for _, s := range dtlsSuites {
		profiles = append(profiles, s.profile)
	}
	opts := []dtls.Option{
		dtls.WithCertificates(*t.certificate),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithFlightInterval(500 * time.Millisecond),
		dtls.WithInsecureSkipVerify(true), // the fingerprint says who it is, and no authority
		dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) == 0 || !matches(certs[0], a.peer) {
				return errFingerprint
			}
			return nil
		}),
	}
	if a.client {
		var o []dtls.ClientOption
		for _, x := range opts {
			o = append(o, x)
		}
		return dtls.ClientWithOptions(a.pipe, peerAddr, o...)
	}
	o := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(t.config.ICE != None), // its address is proved
	}
	for _, x := range opts {
		o = append(o, x)
	}
	return dtls.ServerWithOptions(a.pipe, peerAddr, o...)
}

// exported takes the keys of a handshake (RFC 5764 4.2).
func (t *Transport) exported(a *association, conn *dtls.Conn) error {
	profile, ok := conn.SelectedSRTPProtectionProfile()
	state, known := conn.ConnectionState()
	if !ok || !known {
		return errors.New("media transport: the peer knows no profile of SRTP")
	}
	for _, s := range dtlsSuites {
		if s.profile != profile {
			continue
		}
		x, _ := suiteOf(s.suite)
		c := srtp.Config{Profile: x.profile}
		if err := c.ExtractSessionKeysFromDTLS(&state, a.client); err != nil {
			return err
		}
		tx, err := newProtection(x, append(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt...), "")
		if err != nil {
			return err
		}
		rx, err := newProtection(x, append(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt...), "")
		if err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if a.k.dtls == a {
			a.k.protect(tx, rx)
			t.settle()
		}
		return nil
	}
	return fmt.Errorf("media transport: profile %#x of SRTP", uint16(profile))
}
