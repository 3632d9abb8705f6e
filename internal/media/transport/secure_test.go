package transport

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/sdp"
)

// describe has one side say in a description what the other reads.
func describe(t testing.TB, from *Transport, offer bool) Remote {
	t.Helper()
	l := from.Local()
	proto := map[sdp.Keying]string{sdp.Plain: "RTP/AVP", sdp.SDES: "RTP/SAVP", sdp.DTLS: "UDP/TLS/RTP/SAVPF"}[l.Keying]
	d := sdp.New(sdp.Origin{User: "-", ID: "1", Version: 1, AddrType: "IP4", Address: l.Addr.String()}, sdp.ConnectionTo(l.Addr))
	m := sdp.NewMedia(sdp.MLine{Kind: "audio", Port: 9, Ports: 1, Proto: proto, Formats: []string{"0"}})
	d.Media = append(d.Media, m)
	l.Describe(m, offer)
	SetLite(d, l.ICE != nil && l.ICE.Lite)
	d, err := sdp.Parse(d.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	r, err := RemoteOf(d, d.Media[0], l.Keying)
	if err != nil {
		t.Fatal(err)
	}
	r.Answer = !offer
	return r
}

// join has two transports describe themselves to each other.
func join(t testing.TB, offerer, answerer *Transport) {
	t.Helper()
	set(t, answerer, describe(t, offerer, true))
	set(t, offerer, describe(t, answerer, false))
}

// talk has packets go both ways, once both sides are ready.
func talk(t testing.TB, a, b *Transport, ssrc uint32, seq uint16) {
	t.Helper()
	wait(t, "the state", func() bool { return a.Stats().State == Connected && b.Stats().State == Connected })
	for _, x := range [][2]*Transport{{a, b}, {b, a}} {
		in := newInbox(x[1])
		pkt := voice(ssrc, seq)
		if err := x[0].WriteRTP(pkt); err != nil {
			t.Fatal(err)
		}
		in.want(t, rtp, pkt)
		if err := x[0].WriteRTCP(report(ssrc)); err != nil {
			t.Fatal(err)
		}
		in.want(t, rtcp, report(ssrc))
	}
}

var ephemeral cert.Ephemeral

// TestSecure: every kind of keys, with every kind of ICE, with one port and with two.
func TestSecure(t *testing.T) {
	for _, keying := range []sdp.Keying{sdp.Plain, sdp.SDES, sdp.DTLS} {
		for _, mode := range [][2]ICEMode{{None, None}, {Full, Full}, {Full, Lite}, {Lite, Full}, {Full, None}} {
			for _, mux := range []bool{true, false} {
				for _, dialect := range []Dialect{RFC, Lync} {
					if dialect == Lync && (mux || keying != sdp.SDES || mode[0] != Full || mode[1] != Full) {
						continue
					}
					t.Run(fmt.Sprintf("%v,%v,mux=%v,%v", keying, mode, mux, dialect), func(t *testing.T) {
						t.Parallel()
						c := Config{Security: keying, Mux: mux, Certificate: ephemeral.Get, Dialect: dialect, ICE: mode[0]}
						a := open(t, c)
						c.ICE = mode[1]
						b := open(t, c)
						say := func(from *Transport, offer bool) Remote {
							r := describe(t, from, offer)
							r.Mux = r.Mux && mux
							return r
						}
						set(t, b, say(a, true))
						set(t, a, say(b, false))
						talk(t, a, b, 1, 65535)
						talk(t, a, b, 1, 0)
						s := a.Stats()
						if (s.Keys == "none") != (keying == sdp.Plain) || s.AuthFailed+s.Replayed+s.Malformed != 0 ||
							keying != sdp.DTLS && s.UnknownSource != 0 { // a handshake may be earlier than the answer
							t.Errorf("%+v", s)
						}
						// Once more the same: nothing changes.
						for _, x := range [][2]*Transport{{a, b}, {b, a}} {
							set(t, x[1], say(x[0], true))
							set(t, x[0], say(x[1], false))
						}
						talk(t, a, b, 1, 1)
					})
				}
			}
		}
	}
}

// TestRekey: new keys in a later description, with packets of the former ones on their way; and the loss of all state
// of the other side behind the same address.
func TestRekey(t *testing.T) {
	for _, keying := range []sdp.Keying{sdp.SDES, sdp.DTLS} {
		t.Run(keying.String(), func(t *testing.T) {
			c := Config{Security: keying, Certificate: ephemeral.Get}
			a, b := open(t, c), open(t, c)
			join(t, a, b)
			talk(t, a, b, 1, 1)
			var other cert.Ephemeral
			c.Certificate = other.Get
			x := open(t, c)
			join(t, a, x)
			talk(t, a, x, 1, 2)
		})
	}
}

// TestWrongKey: what is protected by another key is counted and dropped, and so is what came before.
func TestWrongKey(t *testing.T) {
	x := open(t, Config{Security: sdp.SDES})
	in := newInbox(x)
	p := newPhone(t, "127.0.0.1")
	key := func(b byte) sdp.Key { return bytes.Repeat([]byte{b}, 30) }
	line := sdp.Crypto{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: key(1), Keys: 1}
	p.send(x, rtp, voice(1, 1)) // before anything is known
	wait(t, "the count of strangers", func() bool { return x.Stats().UnknownSource == 1 })
	set(t, x, Remote{RTP: p.addr(), Keying: sdp.SDES, Crypto: []sdp.Crypto{line}, Mux: true})
	if l := x.Local(); len(l.Crypto) != 1 || l.Crypto[0].Tag != 1 {
		t.Errorf("%+v", l.Crypto)
	}
	seal := func(k byte, ssrc uint32, seq uint16) []byte {
		s, _ := suiteOf(line.Suite)
		w, err := newProtection(s, key(k), "")
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.seal(nil, voice(ssrc, seq), rtp)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal(1, 7, 1)
	p.send(x, rtp, good)
	in.want(t, rtp, voice(7, 1))
	p.send(x, rtp, good, seal(2, 7, 2), seal(2, 8, 3), voice(7, 4), voice(7, 4)[:13])
	wait(t, "the counts", func() bool {
		s := x.Stats()
		return s.Replayed == 1 && s.AuthFailed+s.Malformed == 4
	})
	stranger := newPhone(t, "127.0.0.3")
	stranger.send(x, rtp, seal(1, 7, 9))
	wait(t, "the count of strangers", func() bool { return x.Stats().UnknownSource == 2 })
	// Another port of the same address proves itself by the key.
	moved := newPhone(t, "127.0.0.1")
	moved.send(x, rtp, seal(1, 7, 10))
	in.want(t, rtp, voice(7, 10))
	if k := x.comps[rtp].path(); k != moved.addr() {
		t.Errorf("it is sent to %v", k)
	}
	// More streams than a call has cost no memory.
	for i := range uint32(maxStreams + 50) {
		p.send(x, rtp, seal(1, 1000+i, 1))
		wait(t, "all of them", func() bool {
			s := x.Stats()
			return s.RTPIn.Packets+s.AuthFailed+s.Malformed+s.Replayed >= uint64(7+i)
		})
	}
	if n := x.comps[rtp].rx.keys.streams[rtp]; n != maxStreams {
		t.Errorf("%d streams", n)
	}
}

// TestAgree: which lines of the peer are agreed to.
func TestAgree(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 30)
	line := func(tag int, suite, session string) sdp.Crypto {
		k := key
		if x, ok := suiteOf(suite); ok {
			k = bytes.Repeat([]byte{1}, x.key+x.salt)
		}
		return sdp.Crypto{Tag: tag, Suite: suite, Key: k, Session: session, Keys: 1}
	}
	s := newSDES(RFC)
	for i, x := range []struct {
		lines  []sdp.Crypto
		answer bool
		tag    int // 0: none
	}{
		{nil, false, 0},
		{[]sdp.Crypto{line(7, "AES_CM_128_HMAC_SHA1_80", "")}, false, 7},
		{[]sdp.Crypto{line(1, "F8_128_HMAC_SHA1_80", ""), line(2, "AES_256_CM_HMAC_SHA1_80", "")}, false, 2},
		{[]sdp.Crypto{line(1, "AES_CM_128_HMAC_SHA1_80", "UNENCRYPTED_SRTP"), line(2, "AES_CM_128_HMAC_SHA1_32", "WSH=64 KDR=0")}, false, 2},
		{[]sdp.Crypto{{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: key, Keys: 2, MKI: "1:1"}}, false, 0},
		{[]sdp.Crypto{{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: key, Keys: 1, MKI: "1:1", Lifetime: "2^31"}}, false, 1},
		{[]sdp.Crypto{{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: key, Keys: 1, MKI: "900:1"}}, false, 0},
		{[]sdp.Crypto{line(2, "AES_CM_128_HMAC_SHA1_32", "")}, true, 2},
		{[]sdp.Crypto{line(1, "AES_CM_128_HMAC_SHA1_32", "")}, true, 0},
		{[]sdp.Crypto{line(4, "AES_256_CM_HMAC_SHA1_80", "")}, true, 0},
	} {
		got, err := s.agree(x.lines, x.answer)
		if (err == nil) != (x.tag > 0) {
			t.Errorf("%d: %v", i, err)
		} else if err == nil && (len(got.local) != 1 || got.local[0].Tag != x.tag || got.local[0].Suite != got.remote.Suite) {
			t.Errorf("%d: %+v", i, got)
		}
		if err == nil {
			if again, _ := got.agree(x.lines, x.answer); again.tx != got.tx || again.rx != got.rx {
				t.Errorf("%d: the same again is another", i)
			}
		}
	}
}

// TestOptional: a peer that was offered keys may do without where that is allowed, and with them later; where it is not
// allowed, or something else was offered, nothing changes.
func TestOptional(t *testing.T) {
	a, b := open(t, Config{Security: sdp.SDES, AllowPlain: true}), open(t, Config{})
	set(t, b, Remote{RTP: a.bases()[0], RTCP: a.bases()[1]})
	set(t, a, describe(t, b, false))
	talk(t, a, b, 1, 1)
	if s := a.Stats(); s.Keys != "none" || a.Local().Keying != sdp.Plain || len(a.Local().Crypto) != 0 {
		t.Errorf("%+v", s)
	}
	x := open(t, Config{Security: sdp.SDES})
	set(t, x, describe(t, open(t, Config{Security: sdp.SDES}), true))
	before := x.Local()
	for _, r := range []Remote{describe(t, b, false), {Keying: sdp.DTLS}, {Keying: sdp.SDES}} {
		if err := x.SetRemote(r); err == nil {
			t.Errorf("%v was agreed to", r.Keying)
		}
	}
	if after := x.Local(); after.Keying != before.Keying || !bytes.Equal(after.Crypto[0].Key, before.Crypto[0].Key) {
		t.Errorf("%+v became %+v", before, after)
	}
	c := open(t, Config{Security: sdp.SDES})
	join(t, c, a)
	talk(t, a, c, 1, 2)
}

// TestMKI: packets carry the identifier that the line announced, and are not taken without.
func TestMKI(t *testing.T) {
	s, key := suites[0], bytes.Repeat([]byte{1}, 30)
	with, err := newProtection(s, key, "258:2")
	if err != nil {
		t.Fatal(err)
	}
	receiver, _ := newProtection(s, key, "258:2")
	b, _ := with.seal(nil, voice(1, 1), rtp)
	if !bytes.Equal(b[172:174], []byte{1, 2}) || len(b) != 172+2+10 {
		t.Errorf("%x", b[172:])
	}
	if out, err := receiver.open(nil, b, rtp); err != nil || !bytes.Equal(out, voice(1, 1)) {
		t.Error(err)
	}
	without, _ := newProtection(s, key, "")
	if b, _ = without.seal(nil, voice(1, 2), rtp); b == nil {
		t.Fatal()
	}
	if _, err := receiver.open(nil, b, rtp); err == nil {
		t.Error("taken without its identifier")
	}
}

// TestWrongFingerprint: a certificate other than the one that was described ends in failure on both sides.
func TestWrongFingerprint(t *testing.T) {
	states := make(chan State, 10)
	c := Config{Security: sdp.DTLS, Certificate: ephemeral.Get, Mux: true}
	b := open(t, c)
	c.OnState = func(s State) { states <- s }
	a := open(t, c)
	set(t, b, describe(t, a, true))
	r := describe(t, b, false)
	r.Fingerprints[0].Sum[0] ^= 1
	set(t, a, r)
	for s := range states {
		if s == Failed {
			break
		}
		if s == Connected {
			t.Fatal("connected")
		}
	}
	if err := a.WriteRTP(voice(1, 1)); err != ErrNotReady {
		t.Error(err)
	}
	r.Fingerprints = []sdp.Fingerprint{{Hash: "sha-1", Sum: make([]byte, 20)}}
	if err := a.SetRemote(r); err == nil {
		t.Error("SHA-1 was agreed to")
	}
	// A later description may put it right.
	var fresh cert.Ephemeral
	c = Config{Security: sdp.DTLS, Certificate: fresh.Get, Mux: true}
	x := open(t, c)
	join(t, a, x)
	talk(t, a, x, 1, 1)
}

// TestRestart: a restart of ICE does not disturb what flows, and takes a new path.
func TestRestart(t *testing.T) {
	c := Config{Security: sdp.DTLS, Certificate: ephemeral.Get, ICE: Full, Mux: true}
	a, b := open(t, c), open(t, c)
	join(t, a, b)
	talk(t, a, b, 1, 1)
	before := a.Local()
	a.RestartICE()
	if err := a.WriteRTP(voice(1, 2)); err != nil {
		t.Error(err)
	}
	if after := a.Local(); after.ICE.Ufrag == before.ICE.Ufrag || after.ICE.Pwd == before.ICE.Pwd {
		t.Error("the credentials are the same")
	}
	set(t, b, describe(t, a, true))
	if err := b.WriteRTP(voice(1, 3)); err != nil {
		t.Error(err)
	}
	set(t, a, describe(t, b, false))
	talk(t, a, b, 1, 4)
}

// TestStrangersBehindICE: without a check with our password nothing is taken.
func TestStrangersBehindICE(t *testing.T) {
	c := Config{ICE: Full, Mux: true}
	a, b := open(t, c), open(t, c)
	join(t, a, b)
	talk(t, a, b, 1, 1)
	p := newPhone(t, "127.0.0.1")
	in := newInbox(a)
	before := a.Stats()
	for range 10 {
		p.send(a, rtp, voice(9, 1), report(9), []byte{0, 1, 0, 0}, []byte{22, 254, 253, 0})
	}
	wait(t, "the counts", func() bool {
		s := a.Stats()
		return s.UnknownSource == before.UnknownSource+30 && s.Checks >= before.Checks+10
	})
	select {
	case x := <-in:
		t.Errorf("%+v", x)
	default:
	}
}

// TestLyncOffers: an offer to a Lync client has what it reads, and nothing that it would not know.
func TestLyncOffers(t *testing.T) {
	x := open(t, Config{Security: sdp.SDES, ICE: Full, Dialect: Lync})
	l := x.Local()
	if len(l.Crypto) != 1 || l.Mux || len(l.Candidates) != 2 || l.Candidates[0].Transport != "UDP" || len(l.ICE.Ufrag) != 4 || len(l.ICE.Pwd) != 24 {
		t.Errorf("%+v", l)
	}
	if i := slices.IndexFunc(l.Candidates, func(c sdp.Candidate) bool { return c.Component == 2 }); i < 0 || l.Candidates[i].Port != l.RTCP {
		t.Errorf("%+v", l.Candidates)
	}
}

func BenchmarkSend(b *testing.B) {
	for _, keying := range []sdp.Keying{sdp.Plain, sdp.SDES} {
		b.Run(keying.String(), func(b *testing.B) {
			x := open(b, Config{Security: keying, Mux: true})
			p := newPhone(b, "127.0.0.1")
			line := sdp.Crypto{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: bytes.Repeat([]byte{1}, 30), Keys: 1}
			set(b, x, Remote{RTP: p.addr(), Keying: keying, Crypto: []sdp.Crypto{line}, Mux: true})
			pkt := voice(1, 1)
			b.ReportAllocs()
			for b.Loop() {
				pkt[3]++
				if pkt[3] == 0 {
					pkt[2]++
				}
				if err := x.WriteRTP(pkt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type counter struct{ n int }

func (c *counter) RTP([]byte, time.Time)  { c.n++ }
func (c *counter) RTCP([]byte, time.Time) { c.n++ }

// BenchmarkReceive is what a packet costs once it is read.
func BenchmarkReceive(b *testing.B) {
	for _, name := range []string{"plain", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "wrong key", "stranger"} {
		b.Run(name, func(b *testing.B) {
			s, secure := suiteOf(name)
			if name == "wrong key" {
				s, secure = suites[0], true
			}
			keying := sdp.Plain
			if secure {
				keying = sdp.SDES
			}
			x := open(b, Config{Security: keying, Mux: true})
			x.Handle(&counter{})
			p := newPhone(b, "127.0.0.1")
			key := bytes.Repeat([]byte{1}, s.key+s.salt)
			set(b, x, Remote{RTP: p.addr(), Keying: keying, Crypto: []sdp.Crypto{{Tag: 1, Suite: s.name, Key: key, Keys: 1}}, Mux: true})
			from := p.addr()
			if name == "stranger" {
				from = newPhone(b, "127.0.0.3").addr()
			}
			if name == "wrong key" {
				key[0]++
			}
			pkt := voice(1, 1)
			var w *protection
			if secure {
				w, _ = newProtection(s, key, "")
			}
			sealed := make([]byte, 0, maxPacket+maxTrailer)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if pkt[3]++; pkt[3] == 0 {
					pkt[2]++
				}
				in := pkt
				if w != nil {
					in, _ = w.seal(sealed, pkt, rtp)
				}
				x.comps[rtp].media(in, from, now)
			}
		})
	}
}
