package certprov

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/xmldoc"
)

func TestRows(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "certprov", schema()); err != nil {
			t.Fatal(err)
		}
		r := rows{db: db}
		at := time.UnixMicro(1_000_000)
		one := &row{UserID: "u", Device: "d", Serial: "1", Issued: at, NotAfter: at.Add(time.Hour)}
		two := &row{UserID: "u", Device: "d", Serial: "2", Issued: at.Add(time.Second), NotAfter: at.Add(2 * time.Hour)}
		for _, c := range []*row{one, two} {
			if err := r.Put(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		all, err := r.Since(ctx, time.Time{})
		if err != nil || len(all) != 1 || *all[0] != *two {
			t.Fatalf("%v %v", all, err)
		}
		if all, err := r.Since(ctx, two.Issued); err != nil || len(all) != 0 {
			t.Errorf("%v %v", all, err)
		}
		if err := r.Expire(ctx, at.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if all, err := r.Since(ctx, time.Time{}); err != nil || len(all) != 0 {
			t.Errorf("%v %v", all, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	request := base64.StdEncoding.EncodeToString(der)
	f.Add([]byte(`<s:Envelope xmlns:s="urn:s"><s:Body>` + `<GetAndPublishCert DeviceId="{8BC83D5C-0000-5000-8000-000000000001}" Entity="alice@example.test"><RequestSecurityToken><BinarySecurityToken>` + request + `</BinarySecurityToken></RequestSecurityToken></GetAndPublishCert>` + `</s:Body></s:Envelope>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := xmldoc.Parse(doc, xmldoc.Limits{})
		if err != nil {
			return
		}
		r, err := parse(e)
		if err == nil && (len(r.device) != len("urn:uuid:")+36 && len(r.device) != len("urn:uuid:")+32 || r.csr == nil) {
			t.Errorf("%+v", r)
		}
	})
}
