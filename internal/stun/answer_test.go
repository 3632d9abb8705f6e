package stun

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The samples of RFC 5769, password VOkJxbRl1RmTxUk/WvJxBt.
var (
	sampleRequest = unhex(`00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74
		00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 00080014
		9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf`)
	sampleIPv4 = unhex(`0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200008
		0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 c07d4c96`)
	sampleIPv6 = unhex(`01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200014
		0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c 8292c275
		bfe3ed41 80280004 c8fb0b4c`)
)

// TestSampleMappedAddress checks XOR-MAPPED-ADDRESS against RFC 5769 2.2 and 2.3.
func TestSampleMappedAddress(t *testing.T) {
	for _, tt := range []struct {
		sample []byte
		from   string
	}{{sampleIPv4, "192.0.2.1:32853"}, {sampleIPv6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"}} {
		_, _, pos, _ := attribute(tt.sample, headerLen) // behind SOFTWARE
		got := appendXorMapped(nil, tt.sample[4:headerLen], netip.MustParseAddrPort(tt.from))
		if want := tt.sample[pos : pos+len(got)]; !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", tt.from, got, want)
		}
	}
}

// TestSampleFingerprint checks FINGERPRINT against RFC 5769 2.1 to 2.3.
func TestSampleFingerprint(t *testing.T) {
	for _, b := range [][]byte{sampleRequest, sampleIPv4, sampleIPv6} {
		if got, want := checksum(b[:len(b)-8]), binary.BigEndian.Uint32(b[len(b)-4:]); got != want {
			t.Errorf("got %08x, want %08x", got, want)
		}
	}
}

// TestSampleRequest: the request of RFC 5769 2.1 asks for ICE, which this is not (RFC 5389 7.3.1).
func TestSampleRequest(t *testing.T) {
	got, ok := Answer(nil, sampleRequest, netip.MustParseAddrPort("192.0.2.1:32853"))
	if !ok || binary.BigEndian.Uint16(got) != bindingError {
		t.Fatalf("got %x, %v, want an error response", got, ok)
	}
	want := []byte{0, 9, 0, 21, 0, 0, 4, 20}
	if !bytes.Equal(got[headerLen:headerLen+8], want) {
		t.Errorf("got %x, want 420", got[headerLen:])
	}
	if !bytes.Contains(got, unhex("000a0006 0024 0006 0008 0000 8028")) {
		t.Errorf("got %x, want the unknown attributes 24, 6 and 8", got)
	}
	if !Is(got) || checksum(got[:len(got)-8]) != binary.BigEndian.Uint32(got[len(got)-4:]) {
		t.Errorf("answer is not well formed: %x", got)
	}
}

// plainRequest is what RFC 5626 section 8 asks of a phone.
var plainRequest = unhex("00010000 2112a442 000102030405060708090a0b")

func TestAnswer(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:32853")
	got, ok := Answer([]byte("x"), plainRequest, from)
	if want := unhex("78 0101000c 2112a442 000102030405060708090a0b 0020 0008 0001 a147 e112a643"); !ok || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v, want %x", got, ok, want)
	}
	mapped, ok := Answer(nil, plainRequest, netip.MustParseAddrPort("[::ffff:192.0.2.1]:32853"))
	if !ok || !bytes.Equal(mapped, got[1:]) {
		t.Errorf("got %x for a mapped address", mapped)
	}
}

func TestFingerprintIsChecked(t *testing.T) {
	req := append(bytes.Clone(plainRequest), 0x80, 0x28, 0, 4, 0, 0, 0, 0)
	setLength(req, 0)
	binary.BigEndian.PutUint32(req[len(req)-4:], checksum(req[:headerLen]))
	got, ok := Answer(nil, req, netip.MustParseAddrPort("192.0.2.1:1"))
	if !ok || !Is(got) || binary.BigEndian.Uint32(got[len(got)-4:]) != checksum(got[:len(got)-8]) {
		t.Errorf("got %x, %v", got, ok)
	}
	req[len(req)-1] ^= 1
	if got, ok := Answer(nil, req, netip.MustParseAddrPort("192.0.2.1:1")); ok {
		t.Errorf("a wrong fingerprint is answered with %x", got)
	}
}

func TestIgnored(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":              {},
		"SIP":                []byte("OPTIONS sip:example.test SIP/2.0\r\n\r\n"),
		"without the cookie": unhex("00010000 00000000 000102030405060708090a0b"),
		"wrong length":       unhex("00010004 2112a442 000102030405060708090a0b"),
		"a response":         sampleIPv4,
		"an indication":      unhex("00110000 2112a442 000102030405060708090a0b"),
		"attribute cut":      unhex("00010004 2112a442 000102030405060708090a0b 00060009"),
	} {
		if got, ok := Answer(nil, b, netip.MustParseAddrPort("192.0.2.1:1")); ok {
			t.Errorf("%s is answered with %x", name, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 0, 128)
	from := netip.MustParseAddrPort("192.0.2.1:32853")
	if n := testing.AllocsPerRun(100, func() { Answer(buf, plainRequest, from) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(plainRequest)
	f.Add(sampleRequest)
	f.Add(sampleIPv4)
	from := netip.MustParseAddrPort("[2001:db8::1]:32853")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := Answer(nil, b, from)
		if !ok {
			return
		}
		// An answer is STUN itself, of the same transaction, short, and nothing one would answer.
		if !Is(got) || !bytes.Equal(got[4:headerLen], b[4:headerLen]) || len(got) > 128 {
			t.Errorf("answer %x", got)
		}
		if _, again := Answer(nil, got, from); again {
			t.Error("an answer is answered")
		}
	})
}
