package krb

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"parley/internal/sip/sigauth"
)

const (
	host  = "fe1.example.test"
	realm = "EXAMPLE.TEST"
)

func testKeytab(t testing.TB, principal string, kind int32) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	if err := kt.AddEntry(principal, realm, "service-secret", time.Unix(1, 0), 1, kind); err != nil {
		t.Fatal(err)
	}
	return kt
}

func newAcceptor(t testing.TB) *Acceptor {
	t.Helper()
	b, err := testKeytab(t, "sip/"+host, etypeID.AES256_CTS_HMAC_SHA1_96).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(host, b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// token makes what a client of alice sends, and the key it signs with.
func token(t testing.TB, service string, at time.Time, change func(*types.Authenticator)) ([]byte, types.EncryptionKey) {
	t.Helper()
	cname := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "alice")
	sname := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, service)
	kt := testKeytab(t, service, etypeID.AES256_CTS_HMAC_SHA1_96)
	ticket, key, err := messages.NewTicket(cname, realm, sname, realm, types.NewKrbFlags(), kt,
		etypeID.AES256_CTS_HMAC_SHA1_96, 1, at, at, at.Add(time.Hour), at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	auth, err := types.NewAuthenticator(realm, cname)
	if err != nil {
		t.Fatal(err)
	}
	auth.CTime, auth.Cusec, auth.SeqNumber = at, 0, 77
	if err := auth.GenerateSeqNumberAndSubKey(key.KeyType, 32); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&auth)
	}
	req, err := messages.NewAPReq(ticket, key, auth)
	if err != nil {
		t.Fatal(err)
	}
	body, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	body = append(append([]byte(nil), tokenHead...), body...)
	return append([]byte{0x60, 0x82, byte(len(body) >> 8), byte(len(body))}, body...), auth.SubKey
}

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func TestAccept(t *testing.T) {
	a := newAcceptor(t)
	b, key := token(t, "sip/"+host, now, nil)
	got, err := a.Accept(b, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got.User != "alice" || got.Realm != realm || !got.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", got)
	}
	t.Run("signatures", func(t *testing.T) {
		client := &keys{key: key}
		head := [micHead]byte{4, 4, 0, 0xff, 0xff, 0xff, 0xff, 0xff}
		binary.BigEndian.PutUint64(head[8:], 77)
		mic := append(head[:], client.sum([]byte("text"), head[:], keyusage.GSSAPI_INITIATOR_SIGN)...)
		if !got.Keys.Verify([]byte("text"), mic) || got.Keys.Verify([]byte("texT"), mic) {
			t.Error("the client's signature")
		}
		own := got.Keys.Sign(nil, []byte("text"))
		if got.Keys.Verify([]byte("text"), own) {
			t.Error("our own signature passes for the client's")
		}
		if want := client.sum([]byte("text"), own[:micHead], keyusage.GSSAPI_ACCEPTOR_SIGN); hex.EncodeToString(own[micHead:]) != hex.EncodeToString(want) {
			t.Error("our signature")
		}
		for n := range mic {
			got.Keys.Verify([]byte("text"), mic[:n])
		}
	})
	if _, err := a.Accept(b, now.Add(time.Minute)); err != errReplay {
		t.Errorf("replayed: %v", err)
	}
}

func TestRefused(t *testing.T) {
	a := newAcceptor(t)
	for name, row := range map[string]struct {
		service string
		at      time.Time
		change  func(*types.Authenticator)
		want    error
	}{
		"other host":     {"sip/fe2.example.test", now, nil, sigauth.ErrCredentials},
		"other service":  {"http/" + host, now, nil, sigauth.ErrCredentials},
		"late clock":     {"sip/" + host, now.Add(-6 * time.Minute), nil, sigauth.ErrClockSkew},
		"early clock":    {"sip/" + host, now.Add(6 * time.Minute), nil, sigauth.ErrClockSkew},
		"expired ticket": {"sip/" + host, now.Add(-2 * time.Hour), func(a *types.Authenticator) { a.CTime = now }, sigauth.ErrCredentials},
		"somebody else":  {"sip/" + host, now, func(a *types.Authenticator) { a.CName.NameString[0] = "bob" }, sigauth.ErrCredentials},
	} {
		b, _ := token(t, row.service, row.at, row.change)
		if _, err := a.Accept(b, now); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, _ := token(t, "sip/"+host, now, nil)
	for n := range good {
		if _, err := a.Accept(good[:n], now); err == nil {
			t.Fatalf("accepted %d of %d bytes", n, len(good))
		}
	}
}

func TestKeytab(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "garbage": []byte("\x05\x02\x00\x00\x00\x7fxx")} {
		if _, err := New(host, b); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	for name, kt := range map[string]*keytab.Keytab{
		"other host": testKeytab(t, "sip/fe2.example.test", etypeID.AES256_CTS_HMAC_SHA1_96),
		"RC4 only":   testKeytab(t, "sip/"+host, etypeID.RC4_HMAC),
	} {
		b, err := kt.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(host, b); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func FuzzAccept(f *testing.F) {
	a := newAcceptor(f)
	b, _ := token(f, "sip/"+host, now, nil)
	f.Add(b)
	f.Add([]byte{0x60, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := a.Accept(b, now)
		if err == nil && (got.User == "" || got.Keys == nil) {
			t.Error("accepted nobody")
		}
	})
}
