package turn

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"parley/internal/stun"
)

// Lifetimes (RFC 8656 3.2, 9 and 12).
const (
	DefaultLifetime = 10 * time.Minute
	MaxLifetime     = time.Hour
	permissionLife  = 5 * time.Minute
	channelLife     = 10 * time.Minute
)

// Headroom and Tailroom are what Peer needs to be free around a datagram, so that it goes on without being copied.
const (
	Headroom = 64
	Tailroom = 4
)

// Tuple says who a client is: where it is, which address of ours it speaks to where there are several, and the number of
// its connection, 0 for UDP.
type Tuple struct {
	Remote netip.AddrPort
	Local  netip.Addr
	Conn   uint64
}

// Errors that Net.Open answers with; others count as ErrNoPort.
var (
	ErrNoPort   = errors.New("turn: no relay port is free")
	ErrNoFamily = errors.New("turn: no relay address of that family")
	ErrNoToken  = errors.New("turn: reservation is unknown or over")
)

// Want is the relay address that a client asks for.
type Want struct {
	V6      bool
	Even    bool    // an even port
	Reserve bool    // with Even: and the next one for later
	Token   [8]byte // or the one that was kept under this
}

// Net is where a Server sends to. Its methods are called from within those of the Server and return at once.
type Net interface {
	// Open opens a relay address. With Want.Reserve it returns the token under which the next port is kept for 30 s.
	Open(w Want) (r Relay, token [8]byte, err error)
	// Reply sends to a client a message, or on a connection of the Lync dialect also what a peer sent (raw). b is valid
	// until Reply returns.
	Reply(to Tuple, b []byte, raw bool)
	// Attach tells which allocation a relay belongs to.
	Attach(r Relay, a *Allocation)
}

// Relay is an open relay address.
type Relay interface {
	Addr() netip.AddrPort                // as peers see it
	Send(to netip.AddrPort, data []byte) // data is valid until Send returns
	Close()
}

// Verdict is what the policy says about a peer.
type Verdict uint8

// The verdicts.
const (
	Refuse  Verdict = iota
	AnyPort         // a permission is for the address, as in RFC 8656
	OnePort         // other ports of the address may be refused
)

// Config is what a Server works with.
type Config struct {
	Net    Net
	Secret Secret
	Realm  string
	Users  *Users
	// Allowed says whether clients may send to a peer. It is asked for each permission, and for each packet where it has
	// said OnePort.
	Allowed func(peer netip.AddrPort) Verdict
	// PortRate is how many octets a second an allocation may relay each way; 0 is no bound.
	PortRate int64
	// AnonymousRate is how many answers a second go to those who have shown no credentials: an answer is longer than the
	// question, and addresses can be forged. 0 takes 4000.
	AnonymousRate int
	// NonceKey is shared by the servers of one relay; nil makes one.
	NonceKey []byte
}

// Server is one shard of a relay. It is used by one goroutine at a time.
type Server struct {
	cfg    Config
	allocs map[Tuple]*Allocation
	stats  Stats
	out    []byte

	anonymous int // answers in this second
	second    int64
}

// New returns a server without allocations.
func New(c Config) *Server {
	if c.NonceKey == nil {
		c.NonceKey = make([]byte, 32)
		rand.Read(c.NonceKey)
	}
	if c.AnonymousRate == 0 {
		c.AnonymousRate = 4000
	}
	return &Server{cfg: c, allocs: make(map[Tuple]*Allocation), out: make([]byte, 0, 2048)}
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats {
	s.stats.Allocations = uint64(len(s.allocs))
	return s.stats
}

const magicCookie = 0x2112A442

// isSTUN reports whether b begins like a message of RFC 8489.
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// isLync reports whether b begins like a message of [MS-TURN]: its first attribute is the magic cookie.
func isLync(b []byte) bool {
	return len(b) >= 28 && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[20:]) == uint32(stun.MSMagicCookie)<<16|4 &&
		binary.BigEndian.Uint32(b[24:]) == stun.MSMagic
}

// Input takes what a client sent: a datagram, or one message of a connection without its framing. It changes b in no way
// and keeps nothing of it. It reports false for what is neither dialect, so that a connection can be ended.
func (s *Server) Input(from Tuple, b []byte, now time.Time) bool {
	if len(b) < 4 {
		s.stats.Malformed++
		return false
	}
	a := s.allocs[from]
	if a != nil && a.lync {
		if isLync(b) {
			s.lync(from, a, b, now)
		} else {
			s.raw(a, b, now)
		}
		return true
	}
	switch {
	case b[0]&0xC0 == 0x40:
		s.channelData(a, b, now)
	case isSTUN(b):
		s.message(from, a, b, now)
	case isLync(b):
		s.lync(from, nil, b, now)
	default:
		s.stats.Malformed++
		return false
	}
	return true
}

// Gone ends the allocation of a client whose connection ended.
func (s *Server) Gone(from Tuple) {
	if a := s.allocs[from]; a != nil {
		s.free(a)
	}
}

// Tick ends what has expired. It is to be called about once a second.
func (s *Server) Tick(now time.Time) {
	for _, a := range s.allocs {
		if !now.Before(a.expires) {
			s.stats.Expired++
			s.free(a)
			continue
		}
		a.tick(now)
	}
}

// Close ends all allocations.
func (s *Server) Close() {
	for _, a := range s.allocs {
		s.free(a)
	}
}

func (s *Server) free(a *Allocation) {
	delete(s.allocs, a.client)
	a.relay.Close()
	a.user.release()
}

// mayAnswer bounds what is sent to strangers.
func (s *Server) mayAnswer(from Tuple, now time.Time) bool {
	if from.Conn != 0 {
		return true
	}
	if sec := now.Unix(); sec != s.second {
		s.second, s.anonymous = sec, 0
	}
	if s.anonymous >= s.cfg.AnonymousRate {
		s.stats.Unanswered++
		return false
	}
	s.anonymous++
	return true
}

// begin starts an answer in the server's buffer.
func (s *Server) begin(m stun.Message, class stun.Type) stun.Builder {
	return stun.Start(s.out[:0], m.Type().Method()|class, m.ID(), m.Dialect)
}

func (s *Server) reply(to Tuple, b []byte) {
	s.out = b[:0]
	s.cfg.Net.Reply(to, b, false)
}

// lifetime is what a client that asks for seconds gets.
func lifetime(m stun.Message) time.Duration {
	want, ok := m.Uint32(stun.Lifetime)
	if !ok {
		return DefaultLifetime
	}
	return max(min(time.Duration(want)*time.Second, MaxLifetime), DefaultLifetime)
}

// Has reports whether a client has an allocation.
func (s *Server) Has(from Tuple) bool { return s.allocs[from] != nil }
