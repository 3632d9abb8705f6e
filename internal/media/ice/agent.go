package ice

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"parley/internal/sdp"
)

// Bounds of what a peer can cause.
const (
	maxRemote = 40  // candidates of a peer, those that it did not name included
	maxPairs  = 100 // RFC 8445 6.1.2.5
)

// Times of RFC 8445 and RFC 7675.
const (
	Ta         = 50 * time.Millisecond // between two checks of a stream
	minRTO     = 500 * time.Millisecond
	maxRTO     = 2 * time.Second  // a third of the sends of RFC 8489 would come too late otherwise
	sends      = 7                // how often a check is sent
	expiry     = 30 * time.Second // until checks that led to nothing are given up, and consent ends
	ringing    = 3 * time.Minute  // until the peer's first check: it begins when somebody has taken the call
	consentGap = 5 * time.Second  // between two questions for consent, give or take a fifth
	settle     = 300 * time.Millisecond
	keepAlive  = 15 * time.Second // Lync clients are sent an indication instead of questions
	maxSent    = 4 * sends        // to an address that never answered, however often it seems to ask
	takeOver   = 5 * time.Second  // a pair that is nominated replaces one that nobody asks about any more
)

// Config is what an agent is made of.
type Config struct {
	Lite        bool
	Controlling bool // this side offers; a peer that is lite makes it so as well
	Lync        bool // [MS-ICE2]
	// Bases are the addresses of the sockets: of RTP, and of RTCP unless it shares the port.
	Bases []netip.AddrPort
	// Advertise is the address that the bases are reached by where a translator stands between; the zero one without.
	Advertise netip.Addr
	// Random fills a slice; by default from crypto/rand.
	Random func([]byte)
}

// State is how far an agent has come.
type State uint8

// States.
const (
	New       State = iota // the peer has not been described
	Checking               // no path yet
	Connected              // a path for every component
	Failed                 // none was found, or the peer does not consent any more
)

// Datagram is to be sent from the socket of a component.
type Datagram struct {
	Component int // from 0
	To        netip.AddrPort
	Packet    []byte
}

// Path says which address of the peer a component sends to from now on.
type Path struct {
	Component int
	To        netip.AddrPort
}

// Effects is what is to be done, in this order. It is valid until the next call of the agent.
type Effects struct {
	Send    []Datagram
	Sources []Path // addresses that have proved to be the peer's: media may come from there
	Paths   []Path // where media goes to; the zero address: nowhere, consent ended
	State   State
	Wake    time.Time // when Tick is wanted; zero for never
}

// Agent is one side of ICE for one medium. It is not safe for concurrent use.
type Agent struct {
	config      Config
	local       sdp.ICE
	former      sdp.ICE // before a restart
	candidates  []sdp.Candidate
	controlling bool
	tieBreaker  uint64

	remote     sdp.ICE
	known      bool // remote is
	remotes    int  // how many candidates of the peer there are
	components int
	pairs      []*pair
	triggered  []*pair // RFC 8445 6.1.4.1
	checks     map[[16]byte]*check
	version    bool // the peer's implementation of [MS-ICE2] said its version

	state    State
	began    time.Time // of checks
	heard    bool      // the peer's have begun too
	lastSend time.Time
	parts    [2]part
	buf      []byte // of answers
	out      Effects
}

// part is a component and its path.
type part struct {
	selected *pair
	route    netip.AddrPort // of selected, or of a valid pair before there is one
	done     bool           // selected was nominated since the last start
	valid    time.Time      // when the first pair was found
	consent  time.Time      // when the peer last answered; lite: when it last asked
	ask      time.Time      // when it is asked next
}

// pair is a candidate of the peer with the base of this side (RFC 8445 6.1.2.2). Since there is one base a component,
// the peer's address is what tells pairs of a component apart.
type pair struct {
	component  int
	to         netip.AddrPort
	remote     uint32 // priority of the peer's candidate
	foundation string // of the peer's candidate
	state      pairState
	nominated  bool // by the peer, or by this side and confirmed
	nominate   bool // by this side, with the next check
	source     bool // the peer has shown that it is its address
	asked      time.Time
	sent       int
	check      *check
}

type pairState uint8

const (
	frozen pairState = iota
	waiting
	inProgress
	succeeded
	failed
)

// check is a transaction: a connectivity check, or a question for consent.
type check struct {
	id          [16]byte
	pair        *pair
	key         []byte // of the answer
	nominate    bool
	consent     bool
	controlling bool // the role it was sent in
	sent        int
	next        time.Time // when it is sent again, or has failed
	rto         time.Duration
	packet      []byte
	old         []byte // the same for old implementations of [MS-ICE2]; nil without
}

// NewAgent makes an agent with credentials of its own.
func NewAgent(c Config) *Agent {
	if c.Random == nil {
		c.Random = func(b []byte) { rand.Read(b) }
	}
	a := &Agent{config: c, controlling: c.Controlling && !c.Lite, checks: map[[16]byte]*check{}, components: len(c.Bases)}
	var tie [8]byte
	c.Random(tie[:])
	a.tieBreaker = binary.BigEndian.Uint64(tie[:])
	a.local = a.credentials()
	a.candidates = a.gather()
	return a
}

// iceChars are the characters of RFC 8839 5.4.
const iceChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// credentials are new ones: 48 random bits in the user name, 144 in the password.
func (a *Agent) credentials() sdp.ICE {
	b := make([]byte, 8+24)
	a.config.Random(b)
	for i := range b {
		b[i] = iceChars[b[i]&63]
	}
	i := sdp.ICE{Ufrag: string(b[:8]), Pwd: string(b[8:]), Lite: a.config.Lite}
	if a.config.Lync {
		i.Ufrag = i.Ufrag[:4] // as theirs are
	}
	return i
}

// Types of candidates and their preference (RFC 8445 5.1.2.2).
const (
	host  = 126
	prflx = 110
	srflx = 100
)

// priority is that of a candidate (RFC 8445 5.1.2.1).
func priority(kind, local, component int) uint32 {
	return uint32(kind<<24 | local<<8 | (255 - component))
}

// gather lists the candidates of this side. Behind a translator a lite agent has its public address as a host
// candidate, since it has no others.
func (a *Agent) gather() []sdp.Candidate {
	transport := "udp"
	if a.config.Lync {
		transport = "UDP"
	}
	var cs []sdp.Candidate
	for i, base := range a.config.Bases {
		host1 := sdp.Candidate{Foundation: "1", Component: i + 1, Transport: transport, Priority: priority(host, 65535, i),
			Address: base.Addr().Unmap().String(), Port: base.Port(), Type: "host"}
		outside := a.config.Advertise.Unmap()
		if !outside.IsValid() || outside == base.Addr().Unmap() {
			cs = append(cs, host1)
			continue
		}
		public := sdp.Candidate{Foundation: "2", Component: i + 1, Transport: transport, Priority: priority(srflx, 65535, i),
			Address: outside.String(), Port: base.Port(), Type: "srflx", RelAddress: host1.Address, RelPort: host1.Port}
		if a.config.Lite {
			public.Type, public.RelAddress, public.Priority = "host", "", priority(host, 65534, i)
		}
		cs = append(cs, host1, public)
	}
	return cs
}

// Local returns the credentials to be described.
func (a *Agent) Local() sdp.ICE { return a.local }

// Candidates returns the candidates to be described, of the components that are in use.
func (a *Agent) Candidates() []sdp.Candidate {
	var cs []sdp.Candidate
	for _, c := range a.candidates {
		if c.Component <= a.components {
			cs = append(cs, c)
		}
	}
	return cs
}

// Controlling reports the role.
func (a *Agent) Controlling() bool { return a.controlling }

// State returns how far it has come.
func (a *Agent) State() State { return a.state }

// Selected returns where a component sends to; the zero address for nowhere.
func (a *Agent) Selected(component int) netip.AddrPort {
	if p := a.parts[component].selected; p != nil {
		return p.to
	}
	return netip.AddrPort{}
}

// Restart begins anew with other credentials, keeping the paths until there are new ones (RFC 8445 9). It is called
// before offering them; a description that asks for a restart does it by itself.
func (a *Agent) Restart() {
	a.former, a.local = a.local, a.credentials()
	a.known = false
	a.forget()
}

// forget drops the checklist. The selected pairs stay selected.
func (a *Agent) forget() {
	a.pairs, a.triggered, a.remotes = nil, nil, 0
	clear(a.checks)
	for i := range a.parts {
		a.parts[i].valid, a.parts[i].done = time.Time{}, false
		if p := a.parts[i].selected; p != nil {
			p.check = nil
		}
	}
	a.state = New
}

// SetRemote takes the peer's description: its credentials, candidates, and whether both components are in use. The
// first time, controlling says whether this side is the offerer. With the same credentials candidates are added; with
// others it is a restart.
func (a *Agent) SetRemote(now time.Time, r sdp.ICE, cs []sdp.Candidate, components int, controlling bool) *Effects {
	a.begin()
	a.components = min(max(components, 1), len(a.config.Bases))
	if !a.known || r.Restarts(a.remote) {
		early := a.pairs
		if a.known {
			a.Restart()
			early = nil
		}
		a.known, a.remote = true, r
		a.controlling = !a.config.Lite && (controlling || r.Lite)
		if a.config.Lite && r.Lite {
			a.controlling = controlling
		}
		a.began, a.heard, a.state = now, len(early) > 0, Checking
		for _, p := range early { // the peer's checks were here before its description
			if !a.config.Lite {
				a.trigger(p)
			} else if p.state = succeeded; p.nominated {
				a.take(now, p)
			}
		}
	}
	for _, c := range cs {
		a.addRemote(c)
	}
	a.unfreeze()
	if a.config.Lite && r.Lite {
		a.selectDefault(now)
	}
	return a.finish(now)
}

// addRemote forms the pair of a candidate, unless nothing may be sent there.
func (a *Agent) addRemote(c sdp.Candidate) {
	if c.Component < 1 || c.Component > a.components || len(c.Transport) != 3 || c.Transport[0]|0x20 != 'u' {
		return
	}
	to, ok := c.Addr()
	if !ok || c.Port < 1024 {
		return
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if !Reachable(a.config.Bases[c.Component-1].Addr(), to.Addr()) {
		return
	}
	if p := a.find(c.Component-1, to); p != nil {
		if p.foundation == "" { // peer-reflexive, and now it has a name
			p.foundation, p.remote = c.Foundation, c.Priority
		}
		return
	}
	a.addPair(&pair{component: c.Component - 1, to: to, remote: c.Priority, foundation: c.Foundation})
}

// addPair reports whether there was room for one more.
func (a *Agent) addPair(p *pair) bool {
	if a.remotes >= maxRemote || len(a.pairs) >= maxPairs {
		return false
	}
	a.remotes++
	at := len(a.pairs)
	for at > 0 && a.weight(a.pairs[at-1]) < a.weight(p) {
		at--
	}
	a.pairs = append(a.pairs, nil)
	copy(a.pairs[at+1:], a.pairs[at:])
	a.pairs[at] = p
	return true
}

// Reachable reports whether a candidate may be one of a peer, seen from a local address: of the same family, one
// host, and of this machine or link only if the local one is.
func Reachable(local, remote netip.Addr) bool {
	local, remote = local.Unmap(), remote.Unmap()
	return remote.Is4() == local.Is4() && !remote.IsUnspecified() && !remote.IsMulticast() && remote.Zone() == "" &&
		remote != netip.AddrFrom4([4]byte{255, 255, 255, 255}) &&
		(!remote.IsLoopback() || local.IsLoopback()) && (!remote.IsLinkLocalUnicast() || local.IsLinkLocalUnicast())
}

func (a *Agent) find(component int, to netip.AddrPort) *pair {
	for _, p := range a.pairs {
		if p.component == component && p.to == to {
			return p
		}
	}
	return nil
}

// weight is the priority of a pair (RFC 8445 6.1.2.3).
func (a *Agent) weight(p *pair) uint64 {
	g, d := uint64(priority(host, 65535, p.component)), uint64(p.remote)
	if !a.controlling {
		g, d = d, g
	}
	w := min(g, d)<<32 + 2*max(g, d)
	if g > d {
		w++
	}
	return w
}

// unfreeze makes the first pair of each foundation wait (RFC 8445 6.1.2.6), and the others when one of it succeeded or
// none of it is left to be tried.
func (a *Agent) unfreeze() {
	for i, p := range a.pairs {
		if p.state != frozen {
			continue
		}
		blocked := false
		for j, q := range a.pairs {
			if j != i && q.foundation == p.foundation && (q.state == waiting || q.state == inProgress || q.state == frozen && j < i) {
				blocked = true
			}
			if q.foundation == p.foundation && q.state == succeeded {
				blocked = false
				break
			}
		}
		if !blocked {
			p.state = waiting
		}
	}
}
