package interwork

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/internal/flow"
	"parley/internal/media/engine"
	"parley/internal/media/transport"
	"parley/internal/proxy"
	"parley/internal/sdp"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
)

// fake is an engine without sockets.
type fake struct {
	mu      sync.Mutex
	next    uint16
	full    bool
	ports   map[*port]bool
	bridges map[*bridge]bool
	opened  int
}

var errFull = errors.New("no ports")

func newFake() *fake { return &fake{next: 40000, ports: map[*port]bool{}, bridges: map[*bridge]bool{}} }

func (f *fake) Voices() []sdp.Codec { return Real(nil, true).Voices() }

func (f *fake) Transport(kind engine.Kind, c transport.Config) (Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return nil, errFull
	}
	p := &port{f: f, c: c, n: f.next, keying: c.Security}
	f.next += 2
	f.opened++
	f.ports[p] = true
	return p, nil
}

func (f *fake) Bridge(kind engine.Kind, a, b engine.Leg) (Bridge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	br := &bridge{f: f, kind: kind, legs: [2]engine.Leg{a, b}}
	f.bridges[br] = true
	return br, nil
}

// state is what is open, for tests.
func (f *fake) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%d ports, %d bridges", len(f.ports), len(f.bridges))
}

func (f *fake) only(t *testing.T) *bridge {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bridges) != 1 {
		t.Fatalf("%d bridges, want one", len(f.bridges))
	}
	for b := range f.bridges {
		return b
	}
	return nil
}

// String is what is sent to each leg and received from it, and the directions.
func (b *bridge) String() string {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	var out []string
	for _, l := range b.legs {
		name := func(cs []sdp.Codec) string {
			var s []string
			for _, c := range cs {
				s = append(s, fmt.Sprintf("%d=%s", c.Type, c.Name))
			}
			return strings.Join(s, " ")
		}
		out = append(out, fmt.Sprintf("%v: gets %s, says %s", l.Direction, name(l.Send), name(l.Receive)))
	}
	return strings.Join(out, "; ")
}

type port struct {
	f       *fake
	c       transport.Config
	n       uint16
	keying  sdp.Keying
	remotes []transport.Remote
	closed  bool
}

func (p *port) Handle(transport.Handler)   {}
func (p *port) WriteRTP([]byte) error      { return nil }
func (p *port) WriteRTCP([]byte) error     { return nil }
func (p *port) Stats() (s transport.Stats) { return s }

func (p *port) Local() transport.Local {
	l := transport.Local{Addr: p.c.Listen, RTP: p.n, RTCP: p.n + 1, Keying: p.keying, MuxOnly: p.c.Mux, Mux: p.c.Mux}
	if p.c.Advertise.IsValid() {
		l.Addr = p.c.Advertise
	}
	if p.c.Mux {
		l.RTCP = l.RTP
	}
	switch p.keying {
	case sdp.SDES:
		key := bytes.Repeat([]byte{byte(p.n)}, 30)
		l.Crypto = []sdp.Crypto{{Tag: 1, Suite: "AES_CM_128_HMAC_SHA1_80", Key: key}}
	case sdp.DTLS:
		l.Fingerprint = sdp.Fingerprint{Hash: "sha-256", Sum: []byte{1, 2, 3}}
		l.Setup = "active"
	}
	if p.c.ICE != transport.None {
		l.ICE = &sdp.ICE{Ufrag: fmt.Sprint("u", p.n), Pwd: "password-of-twenty-two-c", Lite: p.c.ICE == transport.Lite}
	}
	return l
}

func (p *port) SetRemote(r transport.Remote) error {
	if r.Keying != p.c.Security && !(r.Keying == sdp.Plain && p.c.AllowPlain) {
		return errors.New("keys")
	}
	p.keying = r.Keying
	p.remotes = append(p.remotes, r)
	return nil
}

func (p *port) Close() error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	delete(p.f.ports, p)
	p.closed = true
	return nil
}

type bridge struct {
	f       *fake
	kind    engine.Kind
	legs    [2]engine.Leg
	updates int
}

func (b *bridge) Update(x, y engine.Leg) error {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	b.legs = [2]engine.Leg{x, y}
	b.updates++
	return nil
}

func (b *bridge) Stats() engine.Stats { return engine.Stats{} }

func (b *bridge) Close() {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	delete(b.f.bridges, b)
}

// world is a proxy with a gateway, whose calls go to the phones that a test names.
type world struct {
	*stacktest.Server
	t      *testing.T
	g      *Gateway
	engine *fake
	clock  *stacktest.Clock
	mu     sync.Mutex
	proxy  *proxy.Proxy
	to     []proxy.Branch
}

func start(t *testing.T) *world {
	w := &world{t: t, engine: newFake()}
	w.mu.Lock()
	defer w.mu.Unlock()
	cfg := stack.Config{Route: func(tx *stack.ServerTxn) {
		w.mu.Lock()
		p, to := w.proxy, w.to
		w.mu.Unlock()
		if !p.InDialog(tx, nil) {
			p.Forward(tx, to, proxy.Options{RecordRoute: true})
		}
	}}
	w.Server = stacktest.StartWith(t, cfg, flow.Config{})
	w.g = New(Config{Start: func() (Engine, error) { return w.engine, nil }, Log: w.Log.Logger()})
	w.proxy = proxy.New(proxy.Config{Stack: w.Stack, Log: w.Log.Logger(), Media: w.g, IsLocal: func(host []byte, _ uint16) bool { return string(host) == "127.0.0.1" }})
	t.Cleanup(func() {
		w.g.Close()
		if s := w.engine.state(); s != "0 ports, 0 bridges" {
			t.Errorf("left: %s", s)
		}
	})
	return w
}

// device is a phone or browser of a test.
type device struct {
	*stacktest.Peer
	w    *world
	id   string
	epid string // parameter of From
	cseq int
	rt   []string // Routes of its dialog
	tag  string   // its own
	far  string   // the other's
	last *sip.Message
}

func (w *world) device(id string) *device {
	return &device{Peer: w.TCPPeer(w.t), w: w, id: id, tag: id}
}

// ring has calls go to devices, of which some profile is known.
func (w *world) ring(known Profile, ds ...*device) {
	var to []proxy.Branch
	for _, d := range ds {
		b := proxy.Branch{URI: []byte("sip:" + d.id + "@" + d.Addr().String()), Tag: d.id}
		d.Quiet()
		for _, f := range w.Layer.Flows() {
			if f.Remote() == d.Addr() {
				b.Dest.Flow = f
			}
		}
		b.Tag = bound(d.id)
		if known != Unknown {
			w.g.memory.learn(d.id, known, 0, 0, w.g.cfg.Now())
		}
		to = append(to, b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

func (d *device) body(text string) string {
	if text == "" {
		return "\n"
	}
	return "Content-Type: application/sdp\n\n" + text
}

// invite sends an INVITE, or one within the dialog.
func (d *device) invite(text string) {
	d.w.t.Helper()
	d.request("INVITE", text)
}

func (d *device) request(method, text string) {
	d.w.t.Helper()
	d.cseq++
	d.send(method, d.cseq, text)
}

func (d *device) ack(text string) { d.w.t.Helper(); d.send("ACK", d.cseq, text) }

func (d *device) send(method string, cseq int, text string) {
	d.w.t.Helper()
	to := "<sip:other@example.test>"
	if d.far != "" {
		to += ";tag=" + d.far
	}
	head := fmt.Sprintf("%s sip:bob@example.test SIP/2.0\nVia: $via;branch=z9hG4bK%s%s%d;rport\nMax-Forwards: 70\nFrom: <sip:%s@example.test>;tag=%s%s\nTo: %s\nCall-ID: call\nCSeq: %d %s\nContact: <sip:%s@%s>\n",
		method, d.id, method, cseq, d.id, d.tag, d.epid, to, cseq, method, d.id, d.Addr())
	for _, r := range d.rt {
		head += r + "\n"
	}
	d.Send(head + d.body(text))
}

// gets expects a request or response and returns its description, "" without one.
func (d *device) gets(want string) string {
	d.w.t.Helper()
	m := d.Expect(want)
	d.last = m
	if m.IsRequest() {
		if want != "ACK" && want != "BYE" && d.far == "" {
			d.far = string(m.FromTag())
			d.rt = routes(m)
		}
	} else if len(m.ToTag()) > 0 && m.StatusCode() > 100 && m.StatusCode() < 300 && d.rt == nil {
		d.far = string(m.ToTag())
		d.rt = routes(m)
	}
	if text := described(m); text != nil {
		return string(text)
	}
	return ""
}

// reply answers the last request.
func (d *device) reply(code int, text string) {
	d.w.t.Helper()
	r := sip.Response{Code: code, ToTag: d.tag, RecordRoute: true}
	if text != "" {
		r.ContentType, r.Body = "application/sdp", []byte(strings.ReplaceAll(text, "\n", "\r\n"))
	}
	d.SendRaw(r.Append(nil, d.last))
}

func routes(m *sip.Message) (lines []string) {
	for v := range m.All(sip.HRecordRoute) {
		lines = append(lines, "Route: "+string(v))
	}
	if !m.IsRequest() {
		for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	return lines
}

// parse reads a description and fails the test if it is not one.
func parse(t testing.TB, text string) *sdp.Description {
	t.Helper()
	d, err := sdp.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return d
}

// wants fails the test unless a description has lines, and lacks those that begin with a minus sign.
func wants(t testing.TB, text string, lines ...string) {
	t.Helper()
	parse(t, text)
	for _, l := range lines {
		want, there := strings.TrimPrefix(l, "-"), strings.HasPrefix(l, "-")
		if strings.Contains("\n"+strings.ReplaceAll(text, "\r", ""), "\n"+want) == there {
			t.Errorf("line %q is wrong in\n%s", l, text)
		}
	}
}

const (
	head        = "v=0\no=- 7 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"
	plainAudio  = head + "m=audio 6000 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendrecv\n"
	answerAudio = head + "m=audio 7000 RTP/AVP 8 97\na=rtpmap:97 telephone-event/8000\na=sendrecv\n"
	secureAudio = head + "m=audio 6000 RTP/SAVP 0 101\na=rtpmap:101 telephone-event/8000\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:rbCis6xIDRakzXcbQu6eeByY+hcSuNqQawohZnW8\n"
	browser     = "v=0\no=- 9 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE a\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 110 126\nc=IN IP4 0.0.0.0\na=ice-ufrag:EsAw\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\n" +
		"a=fingerprint:sha-256 0B:8C\na=setup:actpass\na=mid:a\na=sendrecv\na=rtcp-mux\na=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n" +
		"a=rtpmap:63 red/48000/2\na=rtpmap:9 G722/8000\na=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000\n"
	browserVideo = browser + "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\nc=IN IP4 0.0.0.0\na=ice-ufrag:EsAw\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\n" +
		"a=fingerprint:sha-256 0B:8C\na=setup:actpass\na=mid:b\na=sendrecv\na=rtcp-mux\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack pli\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n" +
		"a=rtpmap:102 H264/90000\na=fmtp:102 packetization-mode=1;profile-level-id=42001f\n"
)
