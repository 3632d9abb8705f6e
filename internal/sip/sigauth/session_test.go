package sigauth

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/sip"
	"parley/internal/uc"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func findNTLM(user, domain string) (Account, bool) {
	switch {
	case user == "alice@example.test" && domain == "", user == "alice" && domain == "EXAMPLE":
		return Account{"alice@example.test", ntHash("alice-secret")}, true
	}
	return Account{}, false
}

func newServer(t testing.TB, change func(*Config)) *Server {
	cfg := Config{Host: "fe1.example.test", FindNTLM: findNTLM}
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func register(t testing.TB, cseq int, authorization string) *sip.Message {
	if authorization != "" {
		authorization = "Authorization: " + authorization + "\n"
	}
	return parse(t, fmt.Sprintf("REGISTER sip:example.test SIP/2.0\nVia: SIP/2.0/tls 192.0.2.1:4000;branch=z9hG4bK%d\n"+
		"From: <sip:alice@example.test>;tag=1;epid=a16eb65f102f\nTo: <sip:alice@example.test>\nMax-Forwards: 70\nCSeq: %d REGISTER\nCall-ID: x\n"+
		"Event: registration\n%sContent-Length: 0\n\n", cseq, cseq, authorization))
}

func authorization(t testing.TB, m *sip.Message) *Parameters {
	t.Helper()
	var p Parameters
	if err := Parse(m.Header(sip.HAuthorization), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func trip(t testing.TB, s *Session, srv *Server, at time.Time, m *sip.Message) Outcome {
	t.Helper()
	return s.Step(srv, at, rand.Reader, m, authorization(t, m))
}

const begin = `NTLM qop="auth", realm="SIP Communications Service", targetname="fe1.example.test", gssapi-data="", version=4`

// signIn goes through the three trips of NTLM.
func signIn(t testing.TB, s *Session, srv *Server, user, domain, password string, clock time.Time) (*Initiator, Outcome) {
	t.Helper()
	out := trip(t, s, srv, now, register(t, 2, begin))
	if out.Challenge == "" {
		t.Fatal(out.Err)
	}
	i, err := NewInitiator([]byte(out.Challenge), user, domain, ntHash(password), clock, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := register(t, 3, i.Authorize(register(t, 3, "")))
	return i, trip(t, s, srv, now, m)
}

func TestNTLM(t *testing.T) {
	srv := newServer(t, nil)
	if got := srv.Challenges(); len(got) != 1 || got[0] != `NTLM realm="SIP Communications Service", targetname="fe1.example.test", version=4` {
		t.Errorf("challenges %q", got)
	}
	for name, row := range map[string]struct {
		user, domain, password string
		clock                  time.Time
		want                   error
	}{
		"address":         {"alice@example.test", "", "alice-secret", now, nil},
		"domain":          {"alice", "EXAMPLE", "alice-secret", now, nil},
		"wrong":           {"alice@example.test", "", "alice-secreT", now, ErrCredentials},
		"unknown":         {"mallory@example.test", "", "x", now, ErrCredentials},
		"slow clock":      {"alice@example.test", "", "alice-secret", now.Add(-14 * time.Minute), nil},
		"late clock":      {"alice@example.test", "", "alice-secret", now.Add(-16 * time.Minute), ErrClockSkew},
		"early clock":     {"alice@example.test", "", "alice-secret", now.Add(16 * time.Minute), ErrClockSkew},
		"wrong, no clock": {"alice@example.test", "", "x", now.Add(time.Hour), ErrCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSession(0)
			_, out := signIn(t, s, srv, row.user, row.domain, row.password, row.clock)
			if !errors.Is(out.Err, row.want) || s.Signed() != (row.want == nil) {
				t.Fatalf("%v, signed %t", out.Err, s.Signed())
			}
			if a := out.Association; row.want == nil && (a.AOR != "alice@example.test" || a.EPID != "a16eb65f102f" || !a.Expires.Equal(now.Add(8*time.Hour))) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestSignedBothWays(t *testing.T) {
	srv := newServer(t, nil)
	s := NewSession(0)
	i, out := signIn(t, s, srv, "alice@example.test", "", "alice-secret", now)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	t.Run("to the client", func(t *testing.T) {
		plain := parse(t, "MESSAGE sip:alice@192.0.2.1 SIP/2.0\nVia: SIP/2.0/TLS fe1.example.test;branch=z9hG4bKy\nFrom: <sip:bob@example.test>;tag=b\nTo: <sip:alice@example.test>\nCall-ID: y\nCSeq: 1 MESSAGE\nContent-Type: text/plain\nContent-Length: 2\n\nhi")
		for n := 1; n <= 3; n++ {
			a := s.For(plain)
			signed := parse(t, string(a.AppendSigned(nil, plain)))
			if err := i.Check(signed); err != nil || string(signed.Body()) != "hi" {
				t.Fatalf("%v\n%s", err, signed.Raw())
			}
			if !bytes.Contains(signed.Raw(), fmt.Appendf(nil, `snum="%d"`, n)) {
				t.Errorf("number %d expected\n%s", n, signed.Raw())
			}
			bad := bytes.Replace(signed.Raw(), []byte("sip:bob@"), []byte("sip:rob@"), 1)
			if err := i.Check(parse(t, string(bad))); !errors.Is(err, ErrSignature) {
				t.Error(err)
			}
		}
	})
	verify := func(m *sip.Message, at time.Time) error {
		_, err := s.Verify(at, m, authorization(t, m))
		return err
	}
	good := register(t, 4, i.Authorize(register(t, 4, "")))
	tampered := parse(t, strings.Replace(string(good.Raw()), "CSeq: 4", "CSeq: 5", 1))
	if err := verify(tampered, now); err != ErrSignature {
		t.Errorf("tampered: %v", err)
	}
	if err := verify(good, now); err != nil {
		t.Errorf("good: %v", err)
	}
	if err := verify(good, now); err != ErrReplay {
		t.Errorf("replayed: %v", err)
	}
	for name, row := range map[string]struct {
		old, new string
		want     error
	}{
		"opaque":     {`opaque="`, `opaque="0`, ErrUnknown},
		"device":     {`epid=a16e`, `epid=b16e`, ErrUnknown},
		"realm":      {`Communications`, `communications`, ErrSignature},
		"target":     {`targetname="fe1`, `targetname="fe2`, ErrSignature},
		"number":     {`cnum="`, `cnum="9`, ErrSignature},
		"no number":  {`cnum="`, `cnum="x`, ErrSignature},
		"hex":        {`response="01`, `response="0x`, ErrSignature},
		"unsigned":   {`response=`, `rezponse=`, ErrUnsigned},
		"far longer": {`response="`, `response="` + strings.Repeat("00", 200), ErrSignature},
	} {
		m := register(t, 6, i.Authorize(register(t, 6, "")))
		m = parse(t, strings.Replace(string(m.Raw()), row.old, row.new, 1))
		if err := verify(m, now); err != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(register(t, 7, i.Authorize(register(t, 7, ""))), now.Add(8*time.Hour)); err != ErrUnknown {
		t.Errorf("expired: %v", err)
	}
}

func TestUnfinishedHandshakes(t *testing.T) {
	srv := newServer(t, nil)
	s := NewSession(2)
	challenge := func(at time.Time) string {
		out := trip(t, s, srv, at, register(t, 2, begin))
		if out.Challenge == "" {
			t.Fatal(out.Err)
		}
		return out.Challenge
	}
	finish := func(c string, at time.Time) error {
		i, err := NewInitiator([]byte(c), "alice@example.test", "", ntHash("alice-secret"), now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		m := register(t, 3, i.Authorize(register(t, 3, "")))
		return trip(t, s, srv, at, m).Err
	}
	first, second, third := challenge(now), challenge(now), challenge(now)
	if err := finish(first, now); err != ErrUnknown {
		t.Errorf("one too many: %v", err)
	}
	if err := finish(second, now.Add(2*time.Minute)); err != ErrUnknown {
		t.Errorf("too late: %v", err)
	}
	if err := finish(third, now); err != nil {
		t.Error(err)
	}
	if err := finish(third, now); err != ErrUnknown {
		t.Errorf("a challenge serves once: %v", err)
	}
	// Signing in again, with the same device, replaces the association.
	if err := finish(challenge(now), now); err != nil || len(s.byOpaque) != 1 || len(s.byAddress) != 1 {
		t.Errorf("%v, %d and %d associations", err, len(s.byOpaque), len(s.byAddress))
	}
}

func TestRefused(t *testing.T) {
	srv := newServer(t, nil)
	for name, row := range map[string]struct {
		v    string
		want error
	}{
		"not offered":  {strings.Replace(begin, "NTLM", "Kerberos", 1), ErrOffer},
		"other realm":  {strings.Replace(begin, "Service", "service", 1), ErrUnknown},
		"other target": {strings.Replace(begin, "fe1", "fe2", 1), ErrUnknown},
		"no base64":    {strings.Replace(begin, `data="`, `data="!`, 1), ErrToken},
		"no handshake": {strings.Replace(begin, `data="`, `data="AAAA`, 1), ErrUnknown},
	} {
		m := register(t, 2, row.v)
		if out := trip(t, NewSession(0), srv, now, m); out.Err != row.want {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
}

func TestManyDevicesOnOneConnection(t *testing.T) {
	srv := newServer(t, nil)
	s := NewSession(1) // 8 associations
	byEPID := map[string]*Association{}
	for n := range 10 {
		epid := fmt.Sprintf("epid=%012d", n)
		device := func(m *sip.Message) *sip.Message {
			return parse(t, strings.Replace(string(m.Raw()), "epid=a16eb65f102f", epid, 1))
		}
		out := trip(t, s, srv, now, device(register(t, 2, begin)))
		i, err := NewInitiator([]byte(out.Challenge), "alice", "EXAMPLE", ntHash("alice-secret"), now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out = trip(t, s, srv, now, device(register(t, 3, i.Authorize(register(t, 3, "")))))
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		byEPID[epid] = out.Association
	}
	if len(s.byAddress) != 8 || len(s.byOpaque) != 8 {
		t.Errorf("%d associations", len(s.byAddress))
	}
	found := 0
	for epid, a := range byEPID {
		m := parse(t, "SIP/2.0 200 OK\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx\nFrom: <sip:alice@example.test>;tag=1;"+epid+"\nTo: <sip:bob@example.test>;tag=2\nCall-ID: x\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n")
		switch s.For(m) {
		case a:
			found++
		case nil:
		default:
			t.Error("signed for somebody else's device")
		}
	}
	if found != 8 {
		t.Errorf("%d found", found)
	}
}

// dskTrip is a REGISTER with a token.
func dskTrip(t *testing.T, cseq int, opaque string, token []byte) *sip.Message {
	p := Parameters{Scheme: TLSDSK, Version: 4, Realm: []byte(DefaultRealm), TargetName: []byte("fe1.example.test"), Data: base64.StdEncoding.AppendEncode(nil, token)}
	if opaque != "" {
		p.Opaque = []byte(opaque)
	}
	return register(t, cseq, string(p.AppendAuthorization(nil)))
}

func TestTLSDSK(t *testing.T) {
	cert := testCertificate(t)
	srv := newServer(t, func(c *Config) {
		c.TLSDSK = &InnerTLS{STSURI: "https://fe1.example.test/CertProv/CertProvisioningService.svc", Certificate: func() (*Certificate, error) { return cert, nil },
			Owner: func(chain []*x509.Certificate, at time.Time) (uc.AOR, time.Time, error) {
				return uc.AOR(chain[0].Subject.CommonName), at.Add(time.Hour), nil
			}}
	})
	s := NewSession(0)
	cseq := 1
	var last *Parameters
	keys := dskClient(t, func(token []byte) []byte {
		cseq++
		opaque := ""
		if last != nil {
			opaque = string(last.Opaque)
		}
		out := trip(t, s, srv, now, dskTrip(t, cseq, opaque, token))
		if out.Challenge == "" {
			t.Fatal(out.Err)
		}
		last = new(Parameters)
		if err := Parse([]byte(out.Challenge), last); err != nil {
			t.Fatal(err)
		}
		answer, err := base64.StdEncoding.AppendDecode(nil, last.Data)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	})
	if s.Signed() {
		t.Fatal("associated before the client has shown that it has the keys")
	}
	last.Data = nil
	i := &Initiator{p: *last, keys: keys}
	m := register(t, 9, i.Authorize(register(t, 9, "")))
	a, err := s.Verify(now, m, authorization(t, m))
	if err != nil || a.AOR != "alice@example.test" || !s.Signed() || !a.Expires.Equal(now.Add(time.Hour)) {
		t.Fatal(err, a)
	}
	answer := parse(t, "SIP/2.0 200 OK\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx\nFrom: <sip:alice@example.test>;tag=1\nTo: <sip:alice@example.test>;tag=2\nCall-ID: x\nCSeq: 9 REGISTER\nContent-Length: 0\n\n")
	if err := i.Check(parse(t, string(s.For(answer).AppendSigned(nil, answer)))); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	srv := newServer(b, nil)
	s := NewSession(0)
	i, _ := signIn(b, s, srv, "alice@example.test", "", "alice-secret", now)
	m := register(b, 4, i.Authorize(register(b, 4, "")))
	var p Parameters
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(m.Header(sip.HAuthorization), &p); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Verify(now, m, &p); err != nil && err != ErrReplay {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	srv := newServer(b, nil)
	s := NewSession(0)
	signIn(b, s, srv, "alice@example.test", "", "alice-secret", now)
	m := register(b, 4, "")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.For(m).AppendSigned(dst[:0], m)
	}
}
