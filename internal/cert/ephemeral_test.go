package cert

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestEphemeral(t *testing.T) {
	var e Ephemeral
	now := time.Unix(1_800_000_000, 0)
	first, err := e.Get(now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(first.Certificate[0])
	if err != nil || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil || c.PublicKeyAlgorithm != x509.ECDSA {
		t.Fatal(err)
	}
	if again, _ := e.Get(now.Add(EphemeralLife - 1)); again != first {
		t.Error("a new one within the day")
	}
	if next, _ := e.Get(now.Add(EphemeralLife)); next == first {
		t.Error("the same the day after")
	}
}
