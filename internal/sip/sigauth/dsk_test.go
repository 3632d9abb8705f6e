package sigauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// The vector for the PRF of TLS 1.0 that implementers have passed round since 2003.
func TestPRF(t *testing.T) {
	out := make([]byte, 104)
	prf(out, bytes.Repeat([]byte{0xab}, 48), "PRF Testvector", bytes.Repeat([]byte{0xcd}, 64))
	same(t, "PRF", out, "d3d4d1e349b5d515044666d51de32bab258cb521b6b053463e354832fd976754443bcf9a296519bc289abcbc1187e4eb"+
		"d31e602353776c408aafb74cbc85eff69255f9788faa184cbb957a9819d84a5d7eb006eb459d3ae8de9810454b8b2d8f1afbc655a8c9a013")
}

// keys are expensive to make.
var testKeys = sync.OnceValues(func() (server, client *rsa.PrivateKey) {
	server, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	if client, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	return server, client
})

func selfSigned(t testing.TB, name string, key *rsa.PrivateKey) []byte {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func testCertificate(t testing.TB) *Certificate {
	key, _ := testKeys()
	return &Certificate{Chain: [][]byte{selfSigned(t, "fe1.example.test", key)}, Key: key}
}

// flight is all records that come until the client waits.
func flight(t *testing.T, c net.Conn, last byte) []byte {
	t.Helper()
	var all []byte
	for sealed := false; ; {
		var head [recordHead]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		all = append(append(all, head[:]...), body...)
		if head[0] == last && (last == recordHandshake || sealed) || sealed {
			return all
		}
		sealed = head[0] == recordChangeCipherSpec
	}
}

// innerClient does an inner handshake with the general TLS library as the client, and returns what both sides
// made of it.
func innerClient(t *testing.T, suite uint16, tamper func([]byte)) (mine Keys, theirs []byte, chain []*x509.Certificate, err error) {
	t.Setenv("GODEBUG", "tlsunsafeekm=1")
	_, key := testKeys()
	near, far := net.Pipe()
	defer near.Close()
	client := tls.Client(far, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{suite},
		Certificates: []tls.Certificate{{Certificate: [][]byte{selfSigned(t, "alice@example.test", key)}, PrivateKey: key}},
	})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	d := &dsk{cert: testCertificate(t)}
	out, err := d.hello(flight(t, near, recordHandshake), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if kind, content, rest, ok := cutRecord(out); !ok || kind != recordHandshake || len(rest) != 0 || len(content) == 0 {
		t.Error("the first flight must be one record")
	}
	near.Write(out)
	second := flight(t, near, recordChangeCipherSpec)
	if tamper != nil {
		tamper(second)
	}
	chain, out, mine, err = d.finish(second, rand.Reader)
	if err != nil {
		near.Close()
		<-done
		return nil, nil, nil, err
	}
	near.Write(out)
	if err := <-done; err != nil {
		t.Fatal("the client does not like our handshake: ", err)
	}
	state := client.ConnectionState()
	theirs, err = state.ExportKeyingMaterial("client EAP encryption", nil, 128)
	if err != nil {
		t.Fatal(err)
	}
	return mine, theirs, chain, nil
}

// dskClient does an inner handshake with the general TLS library as the client: exchange takes its flights to the
// server. It returns the client's keys.
func dskClient(t *testing.T, exchange func([]byte) []byte) Keys {
	t.Setenv("GODEBUG", "tlsunsafeekm=1")
	_, key := testKeys()
	near, far := net.Pipe()
	defer near.Close()
	client := tls.Client(far, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{suiteAES128},
		Certificates: []tls.Certificate{{Certificate: [][]byte{selfSigned(t, "alice@example.test", key)}, PrivateKey: key}},
	})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	near.Write(exchange(flight(t, near, recordHandshake)))
	near.Write(exchange(flight(t, near, recordChangeCipherSpec)))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state := client.ConnectionState()
	out, err := state.ExportKeyingMaterial("client EAP encryption", nil, 128)
	if err != nil {
		t.Fatal(err)
	}
	return &hmacKeys{client: [32]byte(out[96:]), server: [32]byte(out[64:96])} // seen from the client
}

func TestInnerHandshake(t *testing.T) {
	for _, suite := range []uint16{suiteAES128, suiteAES256} {
		keys, exported, chain, err := innerClient(t, suite, nil)
		if err != nil {
			t.Fatal(err)
		}
		if chain[0].Subject.CommonName != "alice@example.test" {
			t.Errorf("client is %s", chain[0].Subject)
		}
		sum := func(key []byte) []byte {
			h := hmac.New(sha1.New, key)
			h.Write([]byte("text"))
			return h.Sum(nil)
		}
		if !keys.Verify([]byte("text"), sum(exported[64:96])) {
			t.Error("client keys differ")
		}
		if !bytes.Equal(keys.Sign(nil, []byte("text")), sum(exported[96:])) {
			t.Error("server keys differ")
		}
	}
}

func TestInnerHandshakeTampered(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"end":   func(b []byte) { b[len(b)-1] ^= 1 },
		"start": func(b []byte) { b[len(b)-40] ^= 1 },
		"CCS":   func(b []byte) { b[bytes.LastIndex(b, []byte{20, 3, 1, 0, 1, 1})+5] = 2 },
		"key":   func(b []byte) { b[bytes.Index(b, []byte{16, 0, 1, 2, 1, 0})+50] ^= 1 },
	} {
		if _, _, _, err := innerClient(t, suiteAES128, change); err == nil {
			t.Errorf("accepted with another %s", name)
		}
	}
}
