package sigauth

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func FuzzParameters(f *testing.F) {
	f.Add([]byte(begin))
	f.Add([]byte(`TLS-DSK realm="a", targetname="b", version=4, sts-uri="https://x"`))
	f.Add([]byte("Kerberos\tqop=\"auth\" opaque=\"\",crand=\"1\" cnum=\"2\" response=\"\""))
	f.Fuzz(func(t *testing.T, v []byte) {
		var p, q Parameters
		if Parse(v, &p) != nil {
			return
		}
		// What was understood means the same when it is written in our way.
		p.STSURI, p.QOP = nil, []byte("auth")
		if p.Signature == nil || p.Rand == nil || p.Num == nil {
			p.Signature, p.Rand, p.Num = nil, nil, nil
		}
		if p.Realm == nil || p.TargetName == nil {
			return
		}
		out := p.AppendAuthorization(nil)
		if err := Parse(out, &q); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		for _, pair := range [...][2][]byte{{p.Realm, q.Realm}, {p.TargetName, q.TargetName}, {p.Opaque, q.Opaque}, {p.Data, q.Data},
			{p.Rand, q.Rand}, {p.Num, q.Num}, {p.Signature, q.Signature}} {
			if !bytes.Equal(pair[0], pair[1]) || (pair[0] == nil) != (pair[1] == nil) {
				t.Fatalf("%q became %q in %s", pair[0], pair[1], out)
			}
		}
		if p.Scheme != q.Scheme || p.Version != q.Version {
			t.Fatalf("%v %d became %v %d", p.Scheme, p.Version, q.Scheme, q.Version)
		}
	})
}

func FuzzNTLMResponse(f *testing.F) {
	f.Add(unhex(f, recordedResponse))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseNTLMResponse(b, requiredFlags)
		if err != nil {
			return
		}
		if len(r.proof) != 16 || len(r.blob) < 28 || len(r.sessionKey) != 16 || len(r.user) > 4*320 || len(r.domain) > 4*255 {
			t.Fatalf("%+v", r)
		}
		if _, ok := r.verify(make([]byte, 16), [8]byte{1}); ok {
			t.Fatal("a response to no challenge is accepted")
		}
	})
}

func FuzzInnerHello(f *testing.F) {
	cert := testCertificate(f)
	f.Add([]byte("\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01abcdefghijklmnopqrstuvwxyz012345\x00\x00\x02\x00\x2f\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &dsk{cert: cert}
		out, err := d.hello(b, rand.Reader)
		if err != nil {
			return
		}
		kind, content, rest, ok := cutRecord(out)
		if !ok || kind != recordHandshake || len(rest) != 0 {
			t.Fatal("the first flight must be one record")
		}
		if !bytes.HasSuffix(d.transcript, content) {
			t.Fatal("the transcript lacks what was sent")
		}
	})
}

func FuzzInnerFinish(f *testing.F) {
	cert := testCertificate(f)
	f.Add([]byte("\x16\x03\x01\x00\x07\x0b\x00\x00\x03\x00\x00\x00\x14\x03\x01\x00\x01\x01\x16\x03\x01\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &dsk{cert: cert, suite: suiteAES128}
		if _, _, _, err := d.finish(b, rand.Reader); err == nil {
			t.Fatal("accepted without a key")
		}
	})
}
