package sigauth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"parley/internal/sip"
)

func TestParse(t *testing.T) {
	var p Parameters
	v := `NTLM qop="auth", opaque="1F2A3B4C", realm="SIP Communications Service", targetname="fe1.example.test", gssapi-data="", version=4, crand="9f0c11aa", cnum="1", response="0100"`
	if err := Parse([]byte(v), &p); err != nil {
		t.Fatal(err)
	}
	if p.Scheme != NTLM || string(p.Opaque) != "1F2A3B4C" || p.Data == nil || len(p.Data) != 0 || p.Version != 4 || string(p.Num) != "1" {
		t.Errorf("%+v", p)
	}
	if got := string(p.AppendAuthorization(nil)); got != v {
		t.Errorf("printed\n%s\n%s", got, v)
	}
	t.Run("blanks and case", func(t *testing.T) {
		if err := Parse([]byte("tls-dsk  Realm=\"a\"\r\n TARGETNAME=\"b\" ,, x=\"y\"  Version=3"), &p); err != nil || p.Scheme != TLSDSK || string(p.TargetName) != "b" || p.Version != 3 {
			t.Error(err, p)
		}
	})
	t.Run("without version it is 2", func(t *testing.T) {
		if Parse([]byte(`Kerberos realm="a"`), &p); p.Version != 2 || p.Data != nil {
			t.Errorf("%+v", p)
		}
	})
	for v, want := range map[string]error{
		`Digest realm="a"`: ErrScheme, ``: ErrScheme, `NTLMx realm="a"`: ErrScheme,
		`NTLM realm="a`: ErrSyntax, `NTLM realm`: ErrSyntax, `NTLM ="a"`: ErrSyntax, `NTLM realm="a", realm="b"`: ErrSyntax,
		`NTLM version=x`: ErrSyntax, `NTLM version=1`: ErrSyntax, "NTLM realm=\"a\r\n b\"": ErrSyntax, `NTLM "a"`: ErrSyntax,
	} {
		if err := Parse([]byte(v), &p); !errors.Is(err, want) {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// The client finds parts by these exact spellings (lync-client 5.1, 5.2).
func TestSpelling(t *testing.T) {
	p := Parameters{Scheme: TLSDSK, Version: 4, Realm: []byte("R S"), TargetName: []byte("fe1.example.test"), STSURI: []byte("https://x/y.svc")}
	if got, want := string(p.AppendChallenge(nil)), `TLS-DSK realm="R S", targetname="fe1.example.test", version=4, sts-uri="https://x/y.svc"`; got != want {
		t.Errorf("%s\n%s", got, want)
	}
	p = Parameters{Scheme: NTLM, Version: 4, Realm: []byte("R"), TargetName: []byte("t"), Opaque: []byte("1F2A3B4C"), Data: []byte("TlRM")}
	if got, want := string(p.AppendChallenge(nil)), `NTLM opaque="1F2A3B4C", gssapi-data="TlRM", realm="R", targetname="t", version=4`; got != want {
		t.Errorf("%s\n%s", got, want)
	}
	p.Rand, p.Num, p.Signature = []byte("EE803D7F"), []byte("18"), []byte("0100")
	if got, want := string(p.AppendInfo(nil)), `NTLM qop="auth", opaque="1F2A3B4C", srand="EE803D7F", snum="18", rspauth="0100", targetname="t", realm="R", version=4`; got != want {
		t.Errorf("%s\n%s", got, want)
	}
}

func TestText(t *testing.T) {
	p := Parameters{Scheme: Kerberos, Rand: []byte("AB"), Num: []byte("7"), Realm: []byte("R"), TargetName: []byte("sip/h")}
	const head = "INVITE sip:bob@example.test SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx\nFrom: \"A; tag=no\" <sip:alice@example.test;x=1>;tag=at;epid=01\nTo: sip:bob@example.test\nCall-ID: c@x\nCSeq:  12  INVITE\nContent-Length: 0\n"
	for name, row := range map[string]struct {
		version int
		extra   string
		want    string
	}{
		"2":         {2, "", "<Kerberos><AB><7><R><sip/h><c@x><12><INVITE><sip:alice@example.test;x=1><at><><>"},
		"3":         {3, "", "<Kerberos><AB><7><R><sip/h><c@x><12><INVITE><sip:alice@example.test;x=1><at><sip:bob@example.test><><><><>"},
		"asserted":  {4, "P-Asserted-Identity: \"Smith, A\" <sip:alice@example.test>, <tel:+15550100>\nP-Preferred-Identity: <sip:z@example.test>\nExpires: 60\n", "<Kerberos><AB><7><R><sip/h><c@x><12><INVITE><sip:alice@example.test;x=1><at><sip:bob@example.test><><sip:alice@example.test><tel:+15550100><60>"},
		"preferred": {4, "P-Preferred-Identity: tel:+15550100\n", "<Kerberos><AB><7><R><sip/h><c@x><12><INVITE><sip:alice@example.test;x=1><at><sip:bob@example.test><><><tel:+15550100><>"},
		"no angles": {4, "P-Asserted-Identity: sip:alice@example.test\n", "<Kerberos><AB><7><R><sip/h><c@x><12><INVITE><sip:alice@example.test;x=1><at><sip:bob@example.test><><><><>"},
	} {
		p.Version = row.version
		if got := string(AppendText(nil, parse(t, head+row.extra+"\n"), &p)); got != row.want {
			t.Errorf("version %s\n got %s\nwant %s", name, got, row.want)
		}
	}
	if n := testing.AllocsPerRun(100, func(m *sip.Message, dst []byte) func() { return func() { AppendText(dst[:0], m, &p) } }(parse(t, head+"\n"), make([]byte, 0, 1024))); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWindow(t *testing.T) {
	var w Window
	for _, row := range []struct {
		n    uint32
		want bool
	}{
		{0, false}, {1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {258, true}, {3, false}, {4, true}, {2, false}, {257, true},
		{1000, true}, {745, true}, {744, false}, {745, false}, {4294967295, true}, {4294967295, false}, {4294967040, true}, {4294967039, false},
	} {
		if got := w.Accept(row.n); got != row.want {
			t.Errorf("Accept(%d) = %t after %d", row.n, got, w.top)
		}
	}
	// Against the plain definition.
	w = Window{}
	seen, top := map[uint32]bool{}, uint32(0)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		n := max(int64(top)+r.Int64N(600)-500, 1)
		if r.IntN(100) == 0 {
			n += r.Int64N(400)
		}
		v := uint32(n)
		want := !seen[v] && (v > top || top-v < windowWidth)
		if got := w.Accept(v); got != want {
			t.Fatalf("Accept(%d) = %t with top %d", v, got, top)
		}
		if want {
			seen[v], top = true, max(top, v)
		}
	}
}

func TestNames(t *testing.T) {
	if got := fmt.Sprint(NamesOf("a-very-long-computer-name.example.test")); got != "{EXAMPLE A-VERY-LONG-COM example.test a-very-long-computer-name.example.test example.test}" {
		t.Error(got)
	}
	if got := NamesOf("alone"); got.DNSDomain != "alone" || !strings.EqualFold(got.NetBIOSDomain, "alone") {
		t.Error(got)
	}
}
