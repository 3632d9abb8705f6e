package digest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"parley/internal/sip/digest"
)

// RFC 7616 section 3.9.1, whose client offers the same request in both algorithms.
func TestRFC7616Section391(t *testing.T) {
	const head = `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ` +
		`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ` +
		`opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", `
	for _, c := range []struct {
		alg      digest.Algorithm
		response string
	}{
		{digest.MD5, "8ca523f5e9506fed4657c9700eebdbec"},
		{digest.SHA256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		var cr digest.Credentials
		if err := digest.ParseCredentials([]byte(head+`algorithm=`+c.alg.String()+`, response="`+c.response+`"`), &cr); err != nil {
			t.Fatal(err)
		}
		if cr.Algorithm != c.alg || cr.NC != 1 || cr.QOP != digest.Auth || string(cr.Username) != "Mufasa" {
			t.Fatalf("%+v", cr)
		}
		ha1 := digest.HA1(c.alg, "Mufasa", "http-auth@example.org", "Circle of Life")
		if !cr.Verify([]byte("GET"), ha1, nil) {
			t.Errorf("%v: right response refused", c.alg)
		}
		if cr.Verify([]byte("POST"), ha1, nil) || cr.Verify([]byte("GET"), digest.HA1(c.alg, "Mufasa", "x", "y"), nil) || cr.Verify([]byte("GET"), nil, nil) {
			t.Errorf("%v: wrong response accepted", c.alg)
		}
	}
}

// RFC 2617 section 3.5, the oldest vector there is, and RFC 2069's form without qop.
func TestOldForms(t *testing.T) {
	var c digest.Credentials
	err := digest.ParseCredentials([]byte("Digest username=\"Mufasa\",\r\n realm=\"testrealm@host.com\","+
		`nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop="auth", nc=00000001, cnonce="0a4f113b", `+
		`response="6629FAE49393A05397450978507C4EF1", opaque="5ccc069c403ebaf9f0171e9517f40e41"`), &c)
	if err != nil {
		t.Fatal(err)
	}
	ha1 := digest.HA1(digest.MD5, "Mufasa", "testrealm@host.com", "Circle Of Life")
	if !c.Verify([]byte("GET"), ha1, nil) {
		t.Error("RFC 2617 vector refused")
	}
	err = digest.ParseCredentials([]byte(`digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", `+
		`uri="/dir/index.html", response="670fd8c2df070c60b045671b8b24ff02"`), &c)
	if err != nil || c.QOP != digest.NoQOP {
		t.Fatal(err, c.QOP)
	}
	if !c.Verify([]byte("GET"), ha1, nil) {
		t.Error("form without qop refused")
	}
}

func TestParseCredentialsRefusals(t *testing.T) {
	const good = `username="a", realm="r", nonce="n", uri="sip:x", response="00"`
	for in, want := range map[string]error{
		"":                                   digest.ErrScheme,
		"Basic YTpi":                         digest.ErrScheme,
		"Digest":                             digest.ErrSyntax,
		"Digestive " + good:                  digest.ErrScheme,
		"Digest " + good:                     nil,
		"Digest , " + good + ", ,x=y":        nil,
		"Digest " + good + `, nonce="m"`:     digest.ErrSyntax, // doubled
		"Digest " + good + `, x="unending`:   digest.ErrSyntax,
		"Digest " + good + ", y=\"a\r\n b\"": digest.ErrSyntax,
		"Digest " + good + ` y=z`:            digest.ErrSyntax,
		"Digest " + good + `, y`:             digest.ErrSyntax,
		"Digest " + good + `, qop=auth`:      digest.ErrSyntax, // no cnonce, no nc
		"Digest " + good + `, qop=auth, cnonce="c", nc=1`:        digest.ErrSyntax,
		"Digest " + good + `, qop=auth, cnonce="c", nc=0000000g`: digest.ErrSyntax,
		"Digest " + good + `, qop=auth, cnonce="c", nc=0000000A`: nil,
		`Digest username="a", realm="r", nonce="n", uri="u"`:     digest.ErrSyntax,
	} {
		var c digest.Credentials
		if err := digest.ParseCredentials([]byte(in), &c); err != want {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

// The session variants and unknown algorithms parse, but nothing verifies under them.
func TestUnsupportedAlgorithms(t *testing.T) {
	for _, a := range []string{"MD5-sess", "SHA-256-sess", "SHA-512-256", "x"} {
		var c digest.Credentials
		if err := digest.ParseCredentials([]byte(`Digest username="a", realm="r", nonce="n", uri="u", response="00", algorithm=`+a), &c); err != nil {
			t.Fatal(err)
		}
		if c.Algorithm != digest.Unsupported || c.Verify([]byte("REGISTER"), make([]byte, 16), nil) {
			t.Errorf("%s accepted", a)
		}
	}
}

// What the client side prints, the server side accepts, in every algorithm and qop.
func TestAnswerVerifies(t *testing.T) {
	for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		for _, qop := range []string{`, qop="auth"`, `, qop="auth-int"`, `, qop="auth-int, auth"`, ""} {
			var ch digest.Challenge
			if err := digest.ParseChallenge([]byte(`Digest realm="example.test", nonce="abc", opaque="op", algorithm=`+alg.String()+qop), &ch); err != nil {
				t.Fatal(err)
			}
			ha1 := digest.HA1(alg, "alice", "example.test", "secret")
			a := digest.Answer{Method: "INVITE", URI: "sip:bob@example.test", Username: "alice", HA1: ha1, CNonce: "cn", NC: 0x1f, Body: []byte("v=0")}
			v, err := a.Append(nil, &ch)
			if err != nil {
				t.Fatal(err)
			}
			var c digest.Credentials
			if err := digest.ParseCredentials(v, &c); err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			if !c.Verify([]byte("INVITE"), ha1, []byte("v=0")) || string(c.Opaque) != "op" {
				t.Errorf("refused: %s", v)
			}
			if c.QOP == digest.AuthInt && c.Verify([]byte("INVITE"), ha1, []byte("v=1")) {
				t.Error("auth-int does not cover the body")
			}
			if c.QOP != digest.NoQOP && c.NC != 0x1f {
				t.Errorf("nc = %x", c.NC)
			}
		}
	}
	var ch digest.Challenge
	if err := digest.ParseChallenge([]byte(`Digest realm="r", nonce="n", algorithm=MD5-sess`), &ch); err != nil {
		t.Fatal(err)
	}
	if _, err := (&digest.Answer{HA1: make([]byte, 16)}).Append(nil, &ch); err != digest.ErrChallenge {
		t.Error(err)
	}
}

func TestAppendChallenge(t *testing.T) {
	v := digest.AppendChallenge(nil, digest.SHA256, "example.test", []byte("n0"), true)
	var c digest.Challenge
	if err := digest.ParseChallenge(v, &c); err != nil {
		t.Fatal(err)
	}
	if c.Algorithm != digest.SHA256 || !c.Auth || c.AuthInt || !c.Stale || string(c.Realm) != "example.test" || string(c.Nonce) != "n0" {
		t.Errorf("%s: %+v", v, c)
	}
}

// RFC 7616 section 3.5: rspauth is the digest with an empty method.
func TestAppendInfo(t *testing.T) {
	ha1 := digest.HA1(digest.MD5, "a", "r", "p")
	c := digest.Credentials{Nonce: []byte("n"), URI: []byte("u"), CNonce: []byte("c"), NCText: []byte("00000001"), QOP: digest.Auth, Algorithm: digest.MD5}
	v := string(c.AppendInfo(nil, ha1, nil))
	rsp, rest, _ := strings.Cut(strings.TrimPrefix(v, `rspauth="`), `"`)
	c.Response = []byte(rsp)
	if !c.Verify(nil, ha1, nil) || rest != `, cnonce="c", nc=00000001, qop=auth` {
		t.Error(v)
	}
}

func TestNonces(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	now := time.UnixMilli(1_800_000_000_123)
	n := digest.NewNonces(key, 5*time.Minute)
	nonce := n.Append(nil, now, 7)
	if len(nonce) != digest.NonceLen {
		t.Fatalf("%d bytes", len(nonce))
	}
	check := func(nonce []byte, at time.Time, want digest.Verdict) {
		t.Helper()
		if got := n.Check(nonce, at); got != want {
			t.Errorf("%s at %v: %v, want %v", nonce, at.Sub(now), got, want)
		}
	}
	check(nonce, now, digest.Fresh)
	check(nonce, now.Add(5*time.Minute), digest.Fresh)
	check(nonce, now.Add(5*time.Minute+time.Millisecond), digest.Stale)
	check(nonce, now.Add(-30*time.Second), digest.Fresh)
	check(nonce, now.Add(-2*time.Minute), digest.Foreign)
	check(nil, now, digest.Foreign)
	check(nonce[1:], now, digest.Foreign)
	check(digest.NewNonces([]byte("another"), time.Hour).Append(nil, now, 7), now, digest.Foreign)
	for i := range nonce {
		bad := append([]byte(nil), nonce...)
		bad[i] ^= 1
		check(bad, now, digest.Foreign)
	}
	if string(n.Append(nil, now, 8)) == string(nonce) {
		t.Error("the salt does not matter")
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(nonce))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	h.Write(raw[:12])
	if got, want := hex.EncodeToString(raw[12:]), hex.EncodeToString(h.Sum(nil)[:12]); got != want {
		t.Errorf("mac %s, crypto/hmac says %s", got, want)
	}
}

func TestWindow(t *testing.T) {
	var w digest.Window
	for i, s := range []struct {
		nc   uint32
		want bool
	}{
		{0, false}, {1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {3, false}, {60, true}, {4, true}, {4, false},
		{100, true}, {36, false}, {37, true}, {37, false}, {60, false}, {1000, true}, {100, false}, {999, true},
		{0xffffffff, true}, {0xffffffff, false}, {0xfffffffe, true}, {1, false},
	} {
		if got := w.Accept(s.nc); got != s.want {
			t.Errorf("step %d: Accept(%d) = %v", i, s.nc, got)
		}
	}
}

const register = `Digest username="alice", realm="example.test", nonce="AZ0Xq1Zz0000000001aBcDeFgHiJkLmN", uri="sip:example.test", ` +
	`response="%", cnonce="41f2c0", nc=00000001, qop=auth, algorithm=`

func TestVerifyDoesNotAllocate(t *testing.T) {
	n := digest.NewNonces([]byte("k"), time.Hour)
	now := time.UnixMilli(1_800_000_000_000)
	for _, a := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		v := []byte(strings.Replace(register+a.String(), "%", strings.Repeat("0", 2*a.Size()), 1))
		ha1 := digest.HA1(a, "alice", "example.test", "secret")
		method := []byte("REGISTER")
		buf := make([]byte, 0, 64)
		if got := testing.AllocsPerRun(100, func() {
			var c digest.Credentials
			if digest.ParseCredentials(v, &c) != nil || c.Verify(method, ha1, nil) {
				t.Error("verdict")
			}
			buf = n.Append(buf[:0], now, 1)
			if n.Check(buf, now) != digest.Fresh {
				t.Error("nonce")
			}
		}); got != 0 {
			t.Errorf("%v: %v allocations", a, got)
		}
	}
}

func BenchmarkParseCredentials(b *testing.B) {
	v := []byte(register + "MD5")
	b.ReportAllocs()
	for b.Loop() {
		var c digest.Credentials
		if err := digest.ParseCredentials(v, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, a := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		b.Run(a.String(), func(b *testing.B) {
			v := []byte(strings.Replace(register+a.String(), "%", strings.Repeat("0", 2*a.Size()), 1))
			ha1 := digest.HA1(a, "alice", "example.test", "secret")
			method := []byte("REGISTER")
			var c digest.Credentials
			if err := digest.ParseCredentials(v, &c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				c.Verify(method, ha1, nil)
			}
		})
	}
}

func BenchmarkNonce(b *testing.B) {
	n := digest.NewNonces([]byte("k"), time.Hour)
	now := time.UnixMilli(1_800_000_000_000)
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = n.Append(buf[:0], now, 1)
		if n.Check(buf, now) != digest.Fresh {
			b.Fatal()
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(register + "MD5"))
	f.Add([]byte(`Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256, stale=TRUE`))
	f.Add([]byte("Digest username=\"a\\\"b\",\r\n realm=\"r\""))
	f.Add([]byte("Digest reAlm=\"\",nonCe=\\")) // found by fuzzing
	f.Fuzz(func(t *testing.T, v []byte) {
		var ch digest.Challenge
		if digest.ParseChallenge(v, &ch) == nil && ch.Algorithm != digest.Unsupported {
			a := digest.Answer{Method: "REGISTER", URI: "sip:x", Username: "u", HA1: make([]byte, ch.Algorithm.Size()), CNonce: "c", NC: 1}
			out, err := a.Append(nil, &ch)
			if err != nil {
				t.Fatal(err)
			}
			var c digest.Credentials
			if err := digest.ParseCredentials(out, &c); err != nil || !c.Verify([]byte("REGISTER"), a.HA1, nil) {
				t.Fatalf("own answer refused: %v in %q", err, out)
			}
		}
		var c digest.Credentials
		if digest.ParseCredentials(v, &c) == nil {
			c.Verify([]byte("REGISTER"), make([]byte, c.Algorithm.Size()), nil)
		}
	})
}
