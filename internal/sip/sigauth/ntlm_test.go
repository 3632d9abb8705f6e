package sigauth

import (
	"bytes"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/md4"

	"parley/internal/sip"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ntHash(password string) []byte {
	h := md4.New()
	h.Write(appendUTF16(nil, password))
	return h.Sum(nil)
}

func parse(t testing.TB, text string) *sip.Message {
	t.Helper()
	var m sip.Message
	if err := m.Parse([]byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")), nil); err != nil {
		t.Fatal(err)
	}
	return m.Retain()
}

func same(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if g := hex.EncodeToString(got); g != strings.ToLower(want) {
		t.Errorf("%s\n got %s\nwant %s", what, g, want)
	}
}

// [MS-NLMP] 4.2.1 and 4.2.4: NTLMv2 authentication.
func TestNLMPVectors(t *testing.T) {
	hash := ntHash("Password")
	same(t, "4.2.2.1.2 NTOWFv1", hash, "a4f49c406510bdcab6824ee7c30fd852")
	challenge := [8]byte(unhex(t, "0123456789abcdef"))
	owf := hmacMD5(hash, appendUTF16(appendUTF16(nil, "USER"), "Domain"))
	same(t, "4.2.4.1.1 NTOWFv2", owf, "0c868a403bfd7a93a3001ef22ef02e3f")

	blob := unhex(t, "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"+
		"02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
	r := ntlmResponse{user: "User", domain: "Domain", proof: unhex(t, "68cd0ab851e51c96aabc927bebef6a1c"), blob: blob,
		sessionKey: unhex(t, "c5dad2544fc9799094ce1ce90bc9d03e")}
	same(t, "4.2.4.1.2 session base key", hmacMD5(owf, r.proof), "8de40ccadbc14a82f15cb0ad0de95ca3")
	session, ok := r.verify(hash, challenge)
	if !ok {
		t.Fatal("4.2.4.2.2: the response is refused")
	}
	same(t, "4.2.1 random session key", session[:], "55555555555555555555555555555555")

	k := newNTLMKey(session, clientSigning, clientSealing)
	same(t, "4.2.4.4 sign key", k.sign[:], "4788dc861b4782f35d43fd98fe1a2d39")
	seal := md5.Sum(append(session[:], clientSealing...))
	same(t, "4.2.4.4 seal key", seal[:], "59f600973cc4960a25480a7c196e4c58")
	c, _ := rc4.NewCipher(seal[:])
	out := appendUTF16(nil, "Plaintext")
	c.XORKeyStream(out, out)
	same(t, "4.2.4.4 sealed", out, "54e50165bf1936dc996020c1811b0f06fb5f")
	sum := hmacMD5(k.sign[:], appendUTF16(make([]byte, 4), "Plaintext"))[:8] // number 0
	c.XORKeyStream(sum, sum)
	same(t, "4.2.4.4 checksum of the signature", sum, "7fb38ec5c55d4976")

	for name, change := range map[string]func(*ntlmResponse){
		"user":   func(r *ntlmResponse) { r.user = "Usor" },
		"domain": func(r *ntlmResponse) { r.domain = "DOMAIN" },
		"proof":  func(r *ntlmResponse) { r.proof = bytes.Repeat([]byte{1}, 16) },
		"blob":   func(r *ntlmResponse) { r.blob = append([]byte{1, 1, 1}, r.blob[3:]...) },
	} {
		other := r
		change(&other)
		if _, ok := other.verify(hash, challenge); ok {
			t.Errorf("accepted with another %s", name)
		}
	}
}

// An exchange between Communicator 2007 R2 and Office Communications Server 2007 R2, as published with the
// self-test of pidgin-sipe: tokens, texts and signatures of version 4.
const (
	recordedChallenge = "4e544c4d53535000020000000000000038000000f38298e2dd1baaf4e7e218d1000000000000000096009600380000000502ce0e0000000f" +
		recordedInfo
	recordedInfo = "02000a0043004f0053004d004f000100180043004f0053004d004f002d004f00430053002d00520032000400160063006f0073006d006f002e006c006f00630061006c00" +
		"0300300063006f0073006d006f002d006f00630073002d00720032002e0063006f0073006d006f002e006c006f00630061006c000500160063006f0073006d006f002e006c006f00630061006c0000000000"
	recordedResponse = "4e544c4d53535000030000001800180072000000c600c6008a0000000a000a00480000000800080052000000180018005a0000001000100050010000558298620502ce0e0000000f" +
		"43004f0053004d004f00550073006500720043004f0053004d004f002d004f00430053002d0052003200a1e92efe4e078bf7c5c0049acc6166c2d6ae875cb0fdaa41" +
		"8dc0c800ae76eca606d2b9fbebd04731010100000000000059519a1727b9ca01d6ae875cb0fdaa4100000000" + recordedInfo + "00000000" +
		"31cb739e1ca80a498591e8ae797115e4"
	recordedRequest = `REGISTER sip:cosmo.local SIP/2.0
Via: SIP/2.0/TLS 192.0.2.6:12723;branch=z9hG4bK1
Max-Forwards: 70
From: <sip:user@cosmo.local>;tag=3e49177a52;epid=c8ca638a15
To: <sip:user@cosmo.local>
Call-ID: 4037df9284354df39065195bd57a4b14
CSeq: 3 REGISTER
Event: registration
Proxy-Authorization: NTLM qop="auth", realm="SIP Communications Service", opaque="2BDBAC9D", targetname="cosmo-ocs-r2.cosmo.local", version=4, gssapi-data="x", crand="13317733", cnum="1", response="0100000029618e9651b65a7764000000"
Content-Length: 0

`
	recordedAnswer = `SIP/2.0 200 OK
Authentication-Info: NTLM rspauth="01000000E615438A917661BE64000000", srand="9616454F", snum="1", opaque="2BDBAC9D", qop="auth", targetname="cosmo-ocs-r2.cosmo.local", realm="SIP Communications Service"
From: "User"<sip:user@cosmo.local>;tag=3e49177a52;epid=c8ca638a15
To: <sip:user@cosmo.local>;tag=5E61CCD925D17E043D9A74835A88F664
Call-ID: 4037df9284354df39065195bd57a4b14
CSeq: 3 REGISTER
Via: SIP/2.0/TLS 192.0.2.6:12723;branch=z9hG4bK1
Expires: 7200
Content-Length: 0

`
)

func recordedKeys(t testing.TB) *ntlmKeyPair {
	r, err := parseNTLMResponse(unhex(t, recordedResponse), requiredFlags)
	if err != nil {
		t.Fatal(err)
	}
	if r.user != "User" || r.domain != "COSMO" || !r.made.Truncate(time.Second).Equal(time.Date(2010, 3, 1, 10, 8, 8, 0, time.UTC)) {
		t.Errorf("read %q %q %v", r.domain, r.user, r.made)
	}
	session, ok := r.verify(ntHash("Pa$$word"), [8]byte(unhex(t, recordedChallenge)[24:32]))
	if !ok {
		t.Fatal("the recorded response is refused")
	}
	return ntlmKeys(session).(*ntlmKeyPair)
}

func TestRecordedExchange(t *testing.T) {
	k := recordedKeys(t)
	var p Parameters
	m := parse(t, recordedRequest)
	if err := Parse(m.Header(sip.HProxyAuthorization), &p); err != nil || p.Version != 4 {
		t.Fatal(err, p.Version)
	}
	text := AppendText(nil, m, &p)
	if want := "<NTLM><13317733><1><SIP Communications Service><cosmo-ocs-r2.cosmo.local><4037df9284354df39065195bd57a4b14><3><REGISTER><sip:user@cosmo.local><3e49177a52><sip:user@cosmo.local><><><><>"; string(text) != want {
		t.Errorf("text\n got %s\nwant %s", text, want)
	}
	if !k.Verify(text, unhex(t, string(p.Signature))) {
		t.Error("the client's signature is refused")
	}
	m = parse(t, recordedAnswer)
	if err := Parse(m.Header(sip.HAuthenticationInfo), &p); err != nil {
		t.Fatal(err)
	}
	p.Version = 4
	text = AppendText(nil, m, &p)
	if want := "<NTLM><9616454F><1><SIP Communications Service><cosmo-ocs-r2.cosmo.local><4037df9284354df39065195bd57a4b14><3><REGISTER><sip:user@cosmo.local><3e49177a52><sip:user@cosmo.local><5E61CCD925D17E043D9A74835A88F664><><><7200><200>"; string(text) != want {
		t.Errorf("text\n got %s\nwant %s", text, want)
	}
	same(t, "the server's signature", k.Sign(nil, text), string(p.Signature))
}

// The recorded request is believed once, and not with anything of it changed.
func TestRecordedExchangeTampered(t *testing.T) {
	at := time.Date(2010, 3, 1, 10, 8, 8, 0, time.UTC)
	a := &Association{Scheme: NTLM, Opaque: "2BDBAC9D", opaque: []byte("2BDBAC9D"), realm: []byte(DefaultRealm),
		target: []byte("cosmo-ocs-r2.cosmo.local"), keys: recordedKeys(t), version: 4, Expires: at.Add(time.Hour)}
	verify := func(text string) error {
		m := parse(t, text)
		var p Parameters
		if err := Parse(m.Header(sip.HProxyAuthorization), &p); err != nil {
			t.Fatal(err)
		}
		return a.Verify(m, &p, at)
	}
	for _, change := range [][2]string{
		{"From: <sip:user@", "From: <sip:boss@"}, {"tag=3e49177a52", "tag=3e49177a53"}, {"To: <sip:user@", "To: <sip:boss@"},
		{"Call-ID: 4037", "Call-ID: 4038"}, {"CSeq: 3 ", "CSeq: 4 "}, {"CSeq: 3 REGISTER", "CSeq: 3 MESSAGE"}, {"REGISTER sip:cosmo.local", "MESSAGE sip:cosmo.local"},
		{"Event: registration", "Expires: 0"}, {"Event: registration", "P-Asserted-Identity: <sip:boss@cosmo.local>"},
		{"Event: registration", "P-Preferred-Identity: <tel:+15550100>"}, {`crand="1`, `crand="2`}, {`cnum="1"`, `cnum="2"`},
		{`response="0100000029`, `response="0100000028`}, {`64000000"`, `65000000"`}, {`response="01000000`, `response="02000000`},
	} {
		text := strings.Replace(recordedRequest, change[0], change[1], 1)
		if strings.HasPrefix(change[1], "MESSAGE") {
			text = strings.Replace(text, "3 REGISTER", "3 MESSAGE", 1)
		} else if strings.HasSuffix(change[1], "MESSAGE") {
			text = strings.Replace(text, "REGISTER sip", "MESSAGE sip", 1)
		}
		if text == recordedRequest {
			t.Fatalf("%s is not there", change[0])
		}
		if err := verify(text); err != ErrSignature {
			t.Errorf("%s: %v", change[1], err)
		}
	}
	if err := verify(recordedRequest); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	if err := verify(recordedRequest); err != ErrReplay {
		t.Errorf("replayed: %v", err)
	}
}

// The client's side makes the recorded response from the recorded challenge, but for the flags and the host name.
func TestInitiatorAgainstRecording(t *testing.T) {
	want, _ := parseNTLMResponse(unhex(t, recordedResponse), requiredFlags)
	k := recordedKeys(t)
	session := [16]byte{}
	owf := hmacMD5(ntHash("Pa$$word"), appendUTF16(appendUTF16(nil, "USER"), "COSMO"))
	c, _ := rc4.NewCipher(hmacMD5(owf, want.proof))
	c.XORKeyStream(session[:], want.sessionKey)
	made := binary.LittleEndian.Uint64(want.blob[8:])
	token, keys, err := answerNTLM(unhex(t, recordedChallenge), "User", "COSMO", ntHash("Pa$$word"), made, [8]byte(want.blob[16:24]), session)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseNTLMResponse(token, requiredFlags)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "proof", got.proof, hex.EncodeToString(want.proof))
	same(t, "blob", got.blob, hex.EncodeToString(want.blob))
	same(t, "session key", got.sessionKey, hex.EncodeToString(want.sessionKey))
	if !k.Verify([]byte("x"), keys.Sign(nil, []byte("x"))) {
		t.Error("other keys")
	}
}

// Each flag the open client insists on is there (lync-client 5.3), and the parts lie where they are said to.
func TestChallengeMessage(t *testing.T) {
	names := NamesOf("fe1.example.test")
	b := appendNTLMChallenge(nil, &names, challengeFlags, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	flags := binary.LittleEndian.Uint32(b[20:])
	for name, flag := range map[string]uint32{"UNICODE": 1, "NTLM": 0x200, "ALWAYS_SIGN": 0x8000, "EXTENDED_SESSIONSECURITY": 0x80000,
		"TARGET_INFO": 0x800000, "SIGN": 0x10, "DATAGRAM": 0x40, "IDENTIFY": 0x100000, "KEY_EXCH": 0x40000000, "128": 0x20000000} {
		if flags&flag == 0 {
			t.Errorf("%s is not set in %08x", name, flags)
		}
	}
	size, at := binary.LittleEndian.Uint16(b[40:]), binary.LittleEndian.Uint32(b[44:])
	if int(at)+int(size) != len(b) {
		t.Errorf("target info at %d+%d of %d", at, size, len(b))
	}
	var got []string
	for info := b[at:]; ; {
		id, n := binary.LittleEndian.Uint16(info), binary.LittleEndian.Uint16(info[2:])
		if id == 0 {
			break
		}
		s, err := fromUTF16(info[4:4+n], 255)
		if err != nil {
			t.Fatal(err)
		}
		got, info = append(got, s), info[4+n:]
	}
	if s := strings.Join(got, " "); s != "EXAMPLE FE1 example.test fe1.example.test example.test" {
		t.Errorf("target info %s", s)
	}
}

func TestMalformedResponses(t *testing.T) {
	good := unhex(t, recordedResponse)
	for n := range good {
		parseNTLMResponse(good[:n], requiredFlags) // any error, no panic
	}
	for name, row := range map[string]struct {
		at   int
		v    []byte
		want error
	}{
		"type":            {8, []byte{1}, ErrToken},
		"offset far":      {24, []byte{0xff, 0xff, 0xff, 0xff}, ErrToken},
		"offset in head":  {24, []byte{8, 0, 0, 0}, ErrToken},
		"no nt response":  {20, []byte{0, 0}, ErrNegotiation},
		"NTLMv1":          {20, []byte{24, 0}, ErrNegotiation},
		"no datagram":     {60, []byte{0x15}, ErrNegotiation},
		"no key exchange": {63, []byte{0x22}, ErrNegotiation},
		"40 bit":          {63, []byte{0x42}, ErrNegotiation},
		"odd user":        {36, []byte{7, 0}, ErrToken},
		"short key":       {52, []byte{8, 0}, ErrToken},
	} {
		b := bytes.Clone(good)
		copy(b[row.at:], row.v)
		if _, err := parseNTLMResponse(b, requiredFlags); err != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
