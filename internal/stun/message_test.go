package stun

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestSampleIntegrity checks MESSAGE-INTEGRITY and FINGERPRINT against RFC 5769 2.1 to 2.3.
func TestSampleIntegrity(t *testing.T) {
	for _, b := range [][]byte{sampleRequest, sampleIPv4, sampleIPv6} {
		m, err := Parse(b, RFC)
		if err != nil {
			t.Fatal(err)
		}
		if !m.CheckIntegrity([]byte("VOkJxbRl1RmTxUk/WvJxBt")) || !m.CheckFingerprint() {
			t.Errorf("%x: integrity or fingerprint does not fit", b)
		}
		if m.CheckIntegrity([]byte("VOkJxbRl1RmTxUk/WvJxBT")) {
			t.Error("a wrong password fits")
		}
	}
}

// TestSampleLongTerm checks long-term credentials against RFC 5769 2.4.
func TestSampleLongTerm(t *testing.T) {
	m, err := Parse(unhex(`00010060 2112a442 78ad3433 c6ad72c0 29da412e 00060012 e3839ee3 8388e383 aae38383
		e382afe3 82b90000 0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341 0014000b
		6578616d 706c652e 6f726700 00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666`), RFC)
	if err != nil {
		t.Fatal(err)
	}
	if !m.CheckIntegrity(LongTermKey("マトリックス", "example.org", "TheMatrIX")) {
		t.Error("integrity does not fit")
	}
}

// TestDialects: what is built in a dialect is read in it, protected as that dialect does, and not taken for another.
func TestDialects(t *testing.T) {
	key := LongTermKey("alice", "example.test", "secret")
	addr := netip.MustParseAddrPort("[2001:db8::7]:4711")
	for _, d := range []Dialect{RFC, MSTURN, MSICE, MSICEOld} {
		id := NewID([16]byte{1, 2, 3, 4, 5, 6}, d)
		b := Start([]byte("before"), AllocateRequest, id, d)
		b.AddUint32(MSMagicCookie, MSMagic)
		b.AddString(Username, "alice")
		b.AddXorAddr(XorPeerAddress, addr)
		b.AddAddr(MappedAddress, addr)
		raw := b.Finish(key, d != MSTURN)[len("before"):]
		m, err := Parse(raw, d)
		if err != nil {
			t.Fatal(d, err)
		}
		if u, _ := m.Get(Username); m.Type() != AllocateRequest || m.ID() != id || string(bytes.TrimRight(u, "\x00")) != "alice" || (d == MSICE || d == MSICEOld) != (len(u) == 8) {
			t.Errorf("%d: got %v %v %s", d, m.Type(), m.ID(), u)
		}
		x, _ := m.XorAddr(XorPeerAddress)
		if y, _ := m.Addr(MappedAddress); x != addr || y != addr {
			t.Errorf("%d: addresses %v, %v", d, x, y)
		}
		if !m.CheckIntegrity(key) || d != MSTURN && !m.CheckFingerprint() {
			t.Errorf("%d: own integrity or fingerprint refused", d)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 1
			if m, err := Parse(bad, d); err == nil && m.CheckIntegrity(key) && (d == MSTURN || m.CheckFingerprint()) {
				t.Errorf("%d: octet %d changed and nothing noticed", d, i)
			}
		}
		for _, other := range []Dialect{RFC, MSICE, MSICEOld} {
			if d != MSTURN && other != d && (d == RFC || other == RFC) {
				m.Dialect = other
				if m.CheckIntegrity(key) && m.CheckFingerprint() {
					t.Errorf("%d passes for %d", d, other)
				}
			}
		}
	}
}

// TestOldFingerprint: the wrong entry of the table is used in some messages, and then the two kinds differ.
func TestOldFingerprint(t *testing.T) {
	differ := 0
	for i := range 200 {
		d := []Dialect{MSICE, MSICEOld}[i%2]
		b := Start(nil, BindingRequest, NewID([16]byte{15: byte(i)}, d), d)
		m, err := Parse(b.Finish([]byte("key"), true), d)
		if err != nil || !m.CheckFingerprint() {
			t.Fatal(i, err)
		}
		if m.Dialect = MSICE + MSICEOld - d; !m.CheckIntegrity([]byte("key")) {
			t.Error(i, "the integrity is not the same")
		}
		if !m.CheckFingerprint() {
			differ++
		}
	}
	if differ == 0 || differ == 200 {
		t.Errorf("%d of 200 differ", differ)
	}
}

// FuzzParse: no input makes a reader go beyond the message, and what is read can be read again.
func FuzzParse(f *testing.F) {
	f.Add(sampleRequest, byte(0))
	f.Add(sampleIPv6, byte(2))
	f.Add(unhex(`00030008 00000000 00000000 00000000 00000000 000f0004 72c64bc6`), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, d byte) {
		m, err := Parse(b, Dialect(d%4))
		if err != nil {
			return
		}
		n := 0
		for a, v := range m.Attributes() {
			n += 4 + len(v)
			m.Get(a)
			m.Addr(a)
			m.XorAddr(a)
			m.Uint32(a)
		}
		if n > len(b)-headerLen {
			t.Errorf("%d octets of attributes in %d", n, len(b))
		}
		m.CheckIntegrity([]byte("key"))
		m.CheckFingerprint()
		m.Code()
	})
}
