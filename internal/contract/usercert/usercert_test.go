package usercert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"parley/internal/cert"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func TestOwner(t *testing.T) {
	ca, err := cert.NewCA("users", now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := Device{AOR: "alice@example.test", ID: "urn:uuid:8bc83d5c-0000-5000-8000-000000000001"}
	issue := func(ca *cert.CA, d Device) *x509.Certificate {
		names, err := d.Names()
		if err != nil {
			t.Fatal(err)
		}
		c, err := ca.IssueUser(string(d.AOR), names, key.Public(), now, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := New()
	owner := func(c *x509.Certificate, at time.Time) (string, error) {
		aor, until, err := r.Owner([]*x509.Certificate{c}, at)
		if err == nil && !until.Equal(c.NotAfter) {
			t.Errorf("until %v", until)
		}
		return string(aor), err
	}
	c := issue(ca, d)
	if _, err := owner(c, now); !errors.Is(err, ErrForeign) {
		t.Errorf("before there is an authority: %v", err)
	}
	r.SetAuthorities(ca.Cert)
	if _, err := owner(c, now); err != ErrRevoked {
		t.Errorf("not known: %v", err)
	}
	r.Put(d, c.SerialNumber.Text(16))
	if aor, err := owner(c, now); err != nil || aor != "alice@example.test" {
		t.Errorf("%s %v", aor, err)
	}
	if _, err := owner(c, now.Add(25*time.Hour)); !errors.Is(err, ErrForeign) {
		t.Errorf("expired: %v", err)
	}
	other, err := cert.NewCA("users", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner(issue(other, d), now); !errors.Is(err, ErrForeign) {
		t.Errorf("of another authority: %v", err)
	}
	next := issue(ca, d)
	r.Put(d, next.SerialNumber.Text(16))
	if _, err := owner(c, now); err != ErrRevoked {
		t.Errorf("replaced: %v", err)
	}
	r.Forget("alice@example.test")
	if _, err := owner(next, now); err != ErrRevoked {
		t.Errorf("user is gone: %v", err)
	}
	node, err := ca.Issue(cert.Request{Subject: "x.example.test"}, key.Public(), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner(node, now); err != ErrForeign {
		t.Errorf("of no user: %v", err)
	}
}
