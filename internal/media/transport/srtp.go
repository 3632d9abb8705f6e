package transport

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"

	prtcp "github.com/pion/rtcp"
	prtp "github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"parley/internal/sdp"
)

// suite is a kind of protection, by its name in SDES (RFC 4568 6.2, RFC 6188, RFC 7714).
type suite struct {
	name      string
	profile   srtp.ProtectionProfile
	key, salt int
	overhead  int // octets that an RTP packet has at least more than plain
}

var suites = []suite{
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80, 16, 14, 10},
	{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32, 16, 14, 4},
	{"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm, 16, 12, 16},
	{"AES_256_CM_HMAC_SHA1_80", srtp.ProtectionProfileAes256CmHmacSha1_80, 32, 14, 10},
	{"AEAD_AES_256_GCM", srtp.ProtectionProfileAeadAes256Gcm, 32, 12, 16},
}

// offered is how many of suites are offered: the first to Lync clients, which know no other, or the first three.
const offered, offeredLync = 3, 1

func suiteOf(name string) (suite, bool) {
	for _, s := range suites {
		if s.name == name {
			return s, true
		}
	}
	return suite{}, false
}

func (s suite) newKey() sdp.Key {
	k := make(sdp.Key, s.key+s.salt)
	rand.Read(k)
	return k
}

const (
	window     = 256 // packets that may come out of order; RFC 3711 3.3.2 has 64 at least
	maxStreams = 256 // SSRCs of one key: each has a state that stays
	maxTrailer = 16 + 4 + 128
)

// errReplay and errStreams are what open returns besides the library's errors of authentication.
var (
	errReplay  = errors.New("media transport: a packet that was received before")
	errStreams = errors.New("media transport: too many streams under one key")
)

// protection is one direction of SRTP and SRTCP under one master key.
type protection struct {
	suite
	mu      sync.Mutex
	ctx     *srtp.Context
	header  prtp.Header // of the packet in work
	control prtcp.Header
	streams [2]int
	mki     int // octets
}

// newProtection uses a key and salt, with an MKI or "".
func newProtection(s suite, key sdp.Key, mki string) (*protection, error) {
	if len(key) != s.key+s.salt {
		return nil, fmt.Errorf("media transport: the key does not fit %s", s.name)
	}
	opts := []srtp.ContextOption{srtp.SRTPReplayProtection(window), srtp.SRTCPReplayProtection(window)}
	p := &protection{suite: s}
	if mki != "" {
		id, ok := parseMKI(mki)
		if !ok {
			return nil, errors.New("media transport: the MKI is not <value>:<length>")
		}
		opts, p.mki = append(opts, srtp.MasterKeyIndicator(id)), len(id)
	}
	var err error
	p.ctx, err = srtp.CreateContext(key[:s.key], key[s.key:], s.profile, opts...)
	if err != nil {
		return nil, fmt.Errorf("media transport: %w", err)
	}
	return p, nil
}

// parseMKI reads "value:octets" (RFC 4568 6.1).
func parseMKI(s string) ([]byte, bool) {
	value, size, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(size)
	v, ok := new(big.Int).SetString(value, 10)
	if err != nil || !ok || n < 1 || n > 128 || v.Sign() < 0 || v.BitLen() > 8*n {
		return nil, false
	}
	return v.FillBytes(make([]byte, n)), true
}

// seal protects a plain packet into dst, which has room for maxPacket+maxTrailer.
func (p *protection) seal(dst, pkt []byte, kind int) (out []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh(pkt, kind)
	if fresh && p.streams[kind] == maxStreams {
		return nil, errStreams
	}
	if kind == rtp {
		out, err = p.ctx.EncryptRTP(dst, pkt, &p.header)
	} else {
		out, err = p.ctx.EncryptRTCP(dst, pkt, &p.control)
	}
	if fresh && err == nil {
		p.streams[kind]++
	}
	return out, err
}

// open checks a packet and decrypts it into dst, and leaves pkt as it is.
func (p *protection) open(dst, pkt []byte, kind int) (out []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh(pkt, kind)
	if fresh && p.streams[kind] == maxStreams {
		return nil, errStreams
	}
	if kind == rtp {
		out, err = p.ctx.DecryptRTP(dst, pkt, &p.header)
	} else {
		out, err = p.ctx.DecryptRTCP(dst, pkt, &p.control)
	}
	switch {
	case err == nil:
		if fresh {
			p.streams[kind]++
		}
	case errors.Is(err, srtp.ErrFailedToVerifyAuthTag) || errors.Is(err, srtp.ErrMKINotFound):
	case len(pkt) < 12+p.overhead+p.mki:
		err = ErrPacket
	default:
		err = errReplay // the library does not export it
	}
	return out, err
}

// fresh reports whether the stream of a packet has no state yet.
func (p *protection) fresh(pkt []byte, kind int) bool {
	var has bool
	if kind == rtp {
		_, has = p.ctx.ROC(binary.BigEndian.Uint32(pkt[8:]))
	} else {
		_, has = p.ctx.Index(binary.BigEndian.Uint32(pkt[4:]))
	}
	return !has
}
