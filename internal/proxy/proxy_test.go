package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
)

const bob = "sip:bob@example.test"

// world is a proxy whose handler sends what is not within a dialog to where the test says.
type world struct {
	*stacktest.Server
	proxy *proxy.Proxy
	mu    sync.Mutex
	route func(tx *stack.ServerTxn) ([]proxy.Branch, proxy.Options)
	anew  func() []proxy.Branch
}

func start(t *testing.T) *world { return startWith(t, nil) }

func startWith(t *testing.T, media proxy.Media) *world {
	w := new(world)
	cfg := stack.Config{Route: func(tx *stack.ServerTxn) {
		w.mu.Lock()
		route, p, anew := w.route, w.proxy, w.anew
		w.mu.Unlock()
		if p.InDialog(tx, anew) {
			return
		}
		b, o := route(tx)
		p.Forward(tx, b, o)
	}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Server = stacktest.StartWith(t, cfg, flow.Config{Resolver: addresses{}})
	w.proxy = proxy.New(proxy.Config{Stack: w.Stack, Log: w.Log.Logger(), Media: media, IsLocal: func(host []byte, _ uint16) bool {
		return string(host) == "127.0.0.1" || string(host) == "parley.example.test"
	}})
	return w
}

// addresses resolves URIs whose host is an address.
type addresses struct{}

func (addresses) Resolve(_ context.Context, u sip.URI) ([]flow.Target, error) {
	addr, err := netip.ParseAddr(string(u.Host))
	if err != nil {
		return nil, err
	}
	tr := flow.UDP
	if v, ok := u.Param("transport"); ok {
		tr, _ = flow.ParseTransport(string(v))
	}
	return []flow.Target{{Transport: tr, Addr: netip.AddrPortFrom(addr, u.Port)}}, nil
}

// to routes everything to peers, all in parallel, with Record-Route.
func (w *world) to(peers ...*stacktest.Peer) {
	w.with(proxy.Options{RecordRoute: true}, peers...)
}

func (w *world) with(o proxy.Options, peers ...*stacktest.Peer) {
	var bs []proxy.Branch
	for i, p := range peers {
		b := proxy.Branch{URI: []byte(fmt.Sprintf("sip:phone%d@%s", i, p.Addr())), Tag: i}
		b.Dest.Flow = w.flowOf(p)
		bs = append(bs, b)
	}
	w.set(func(*stack.ServerTxn) ([]proxy.Branch, proxy.Options) { return bs, o })
}

func (w *world) set(route func(tx *stack.ServerTxn) ([]proxy.Branch, proxy.Options)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.route = route
}

// flowOf returns the flow to a peer, which makes itself heard for it.
func (w *world) flowOf(p *stacktest.Peer) *flow.Flow {
	p.Quiet()
	for _, f := range w.Layer.Flows() {
		if f.Remote() == p.Addr() {
			return f
		}
	}
	panic("no flow")
}

// transports runs a test with alice and bob on every pair of transports.
func transports(t *testing.T, test func(t *testing.T, w *world, alice, bob *stacktest.Peer)) {
	for _, pair := range []string{"UDP UDP", "TCP TCP", "UDP TCP", "TCP UDP"} {
		t.Run(strings.ReplaceAll(pair, " ", "-"), func(t *testing.T) {
			w := start(t)
			peer := func(tr string) *stacktest.Peer {
				if tr == "UDP" {
					return w.UDPPeer(t)
				}
				return w.TCPPeer(t)
			}
			a, b, _ := strings.Cut(pair, " ")
			test(t, w, peer(a), peer(b))
		})
	}
}

// routes returns the Route lines a party uses in a dialog: the caller takes Record-Route from the answer and
// turns it round, the called party takes it from the request as it is (RFC 3261 12.1).
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

func TestCall(t *testing.T) {
	transports(t, func(t *testing.T, w *world, alice, phone *stacktest.Peer) {
		w.to(phone)
		alice.Request("INVITE", bob, "z9hG4bKa1", 1, "", `X-Odd:  kept , as "it"  is`)
		inv := phone.Expect("INVITE")
		if got := string(inv.RequestURI()); !strings.HasPrefix(got, "sip:phone0@") {
			t.Errorf("request URI %s", got)
		}
		if inv.MaxForwards() != 69 || inv.Count(sip.HVia) != 2 || inv.Count(sip.HRecordRoute) != 2 {
			t.Errorf("Max-Forwards, Via or Record-Route is wrong:\n%s", inv.Raw())
		}
		if !bytes.Contains(inv.Raw(), []byte(`X-Odd:  kept , as "it"  is`)) {
			t.Errorf("a field was rewritten:\n%s", inv.Raw())
		}
		phone.Reply(inv, 180)
		alice.Expect("180")
		phone.Reply(inv, 200, sip.Header{Name: "Contact", Value: "<sip:phone0@" + phone.Addr().String() + ">"})
		ok := alice.Expect("200")
		if ok.Count(sip.HVia) != 1 {
			t.Errorf("our Via went to the caller:\n%s", ok.Raw())
		}
		contact := "sip:phone0@" + phone.Addr().String()
		alice.Request("ACK", contact, "z9hG4bKa2", 1, "b", routes(ok)...)
		ack := phone.Expect("ACK")
		if ack.Has(sip.HRoute) || string(ack.RequestURI()) != contact {
			t.Errorf("our Routes went to the phone:\n%s", ack.Raw())
		}
		// The called party ends the call.
		text := "BYE sip:alice@192.0.2.1 SIP/2.0\nVia: $via;branch=z9hG4bKb1;rport\nMax-Forwards: 70\nFrom: <sip:bob@example.test>;tag=b\n" +
			"To: <sip:alice@example.test>;tag=a\nCall-ID: call\nCSeq: 1 BYE\n" + strings.Join(routes(inv), "\n") + "\n\n"
		phone.Send(text)
		bye := alice.Expect("BYE")
		if bye.Has(sip.HRoute) {
			t.Errorf("our Routes went to the caller:\n%s", bye.Raw())
		}
		alice.Reply(bye, 200)
		phone.Expect("200")
		// And the caller sends something within the dialog, too.
		alice.Request("INFO", contact, "z9hG4bKa3", 2, "b", routes(ok)...)
		phone.Reply(phone.Expect("INFO"), 200)
		alice.Expect("200")
		alice.Quiet()
		phone.Quiet()
	})
}

func TestForkFirstAnswerWins(t *testing.T) {
	w := start(t)
	alice, p, q := w.UDPPeer(t), w.UDPPeer(t), w.TCPPeer(t)
	w.to(p, q)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	ip, iq := p.Expect("INVITE"), q.Expect("INVITE")
	if ip.Header(sip.HMaxBreadth) == nil || string(ip.Header(sip.HMaxBreadth)) != "30" {
		t.Errorf("Max-Breadth %q, want 30 (RFC 5393 5.3)", ip.Header(sip.HMaxBreadth))
	}
	p.Reply(ip, 180)
	alice.Expect("180")
	q.Reply(iq, 180)
	alice.Expect("180")
	q.Reply(iq, 200)
	alice.Expect("200")
	cancel := p.Expect("CANCEL")
	if got := string(cancel.Header(sip.HReason)); got != `SIP;cause=200;text="Call completed elsewhere"` {
		t.Errorf("Reason %s", got)
	}
	p.Reply(cancel, 200)
	p.Reply(ip, 487)
	p.Expect("ACK")
	alice.Quiet()
	q.Reply(iq, 200) // repeated by the called party, since no ACK came
	alice.Expect("200")
}

func TestCancelReachesThePhone(t *testing.T) {
	transports(t, func(t *testing.T, w *world, alice, phone *stacktest.Peer) {
		w.to(phone)
		alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
		inv := phone.Expect("INVITE")
		phone.Reply(inv, 180)
		alice.Expect("180")
		alice.Request("CANCEL", bob, "z9hG4bKa1", 1, "", `Reason: SIP;cause=600;text="changed my mind"`)
		alice.Expect("200")
		cancel := phone.Expect("CANCEL")
		if got := string(cancel.Header(sip.HReason)); got != `SIP;cause=600;text="changed my mind"` {
			t.Errorf("Reason %q is not what the caller said", got)
		}
		phone.Reply(cancel, 200)
		phone.Reply(inv, 487)
		phone.Expect("ACK")
		m := alice.Expect("487")
		alice.Request("ACK", bob, "z9hG4bKa1", 1, string(m.ToTag()))
		alice.Quiet()
		phone.Quiet()
	})
}

func TestGroupsAndHooks(t *testing.T) {
	w := start(t)
	alice, p, q := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	gone := w.TCPPeer(t)
	f := w.flowOf(gone)
	gone.Close()
	<-f.Done()
	failures := make(chan string, 4)
	bp, bq := proxy.Branch{Group: 1}, proxy.Branch{Group: 2}
	bp.Dest.Flow, bq.Dest.Flow = w.flowOf(p), w.flowOf(q)
	bg := proxy.Branch{Group: 0, Tag: "gone"}
	bg.Dest.Flow = f
	w.set(func(*stack.ServerTxn) ([]proxy.Branch, proxy.Options) {
		return []proxy.Branch{bq, bp, bg}, proxy.Options{Timeout: 10 * time.Second,
			OnBranchFailure: func(b *proxy.Branch, code int) { failures <- fmt.Sprint(b.Tag, " ", code) }}
	})
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	if got := <-failures; got != "gone 430" {
		t.Errorf("failure %s, want that of the flow that is gone", got)
	}
	ip := p.Expect("INVITE")
	p.Reply(ip, 180)
	alice.Expect("180")
	q.Quiet()
	w.Advance(t, 10*time.Second)
	cancel := p.Expect("CANCEL")
	iq := q.Expect("INVITE")
	p.Reply(cancel, 200)
	p.Reply(ip, 487)
	p.Expect("ACK")
	q.Reply(iq, 486)
	q.Expect("ACK")
	alice.Expect("486")
}

func TestTimerC(t *testing.T) {
	w := start(t)
	alice, phone := w.TCPPeer(t), w.TCPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	inv := phone.Expect("INVITE")
	phone.Reply(inv, 180)
	alice.Expect("180")
	w.Advance(t, 180*time.Second)
	phone.Reply(inv, 183) // a sign of life
	alice.Expect("183")
	w.Advance(t, 180*time.Second)
	alice.Quiet()
	w.Advance(t, 6*time.Second)
	phone.Expect("CANCEL")
	alice.Expect("408")
}

func TestOnFinalTakesOver(t *testing.T) {
	w := start(t)
	alice, phone := w.UDPPeer(t), w.UDPPeer(t)
	b := proxy.Branch{}
	b.Dest.Flow = w.flowOf(phone)
	w.set(func(tx *stack.ServerTxn) ([]proxy.Branch, proxy.Options) {
		return []proxy.Branch{b}, proxy.Options{OnFinal: func(code int, best *sip.Message) bool {
			if code != 480 || best == nil {
				t.Errorf("final %d, %v", code, best)
			}
			tx.Respond(202, "")
			return true
		}}
	})
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	phone.Reply(phone.Expect("MESSAGE"), 480)
	alice.Expect("202")
	alice.Quiet()
}

func TestOfflinePhone(t *testing.T) {
	w := start(t)
	alice := w.UDPPeer(t)
	w.to()
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	alice.Expect("480")
	phone := w.TCPPeer(t)
	w.to(phone)
	phone.Close()
	for _, f := range w.Layer.Flows() {
		if f.Transport() == flow.TCP {
			<-f.Done()
		}
	}
	alice.Request("MESSAGE", bob, "z9hG4bKa2", 2, "")
	alice.Expect("480")
}

// RFC 4320 4.2: a request other than INVITE that nobody answered is not answered 408, since that would come too late.
func TestMessageNobodyAnswers(t *testing.T) {
	w := start(t)
	alice, phone := w.TCPPeer(t), w.UDPPeer(t)
	failures := make(chan int, 1)
	w.with(proxy.Options{OnBranchFailure: func(_ *proxy.Branch, code int) { failures <- code }}, phone)
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	phone.Expect("MESSAGE")
	w.Advance(t, 33*time.Second)
	if code := <-failures; code != 408 {
		t.Errorf("failure %d, want 408", code)
	}
	alice.Quiet()
	if st := w.Stack.Stats(); st.Table != 0 {
		t.Errorf("%d transactions left", st.Table)
	}
	phone.Drain("MESSAGE") // repetitions
	w.with(proxy.Options{Timeout: 5 * time.Second}, phone)
	alice.Request("MESSAGE", bob, "z9hG4bKa2", 2, "")
	phone.Expect("MESSAGE")
	w.Advance(t, 6*time.Second)
	alice.Expect("480")
}

func TestChallengesOfAllBranches(t *testing.T) {
	w := start(t)
	alice, p, q := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	w.to(p, q)
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	p.Reply(p.Expect("MESSAGE"), 401, sip.Header{Name: "WWW-Authenticate", Value: `Digest realm="p"`})
	q.Reply(q.Expect("MESSAGE"), 407, sip.Header{Name: "Proxy-Authenticate", Value: `Digest realm="q"`})
	m := alice.Receive()
	if c := m.StatusCode(); c != 401 && c != 407 {
		t.Fatalf("answer %d", c)
	}
	if string(m.Header(sip.HWWWAuthenticate)) != `Digest realm="p"` || string(m.Header(sip.HProxyAuthenticate)) != `Digest realm="q"` ||
		m.Count(sip.HWWWAuthenticate) != 1 || m.Count(sip.HProxyAuthenticate) != 1 {
		t.Errorf("challenges are missing:\n%s", m.Raw())
	}
}

// RFC 3261 16.7 step 3: a response without the Via of the caller cannot be passed on.
func TestResponseWithoutTheViaOfTheCaller(t *testing.T) {
	w := start(t)
	alice, p := w.UDPPeer(t), w.UDPPeer(t)
	w.to(p)
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	m := p.Expect("MESSAGE")
	_, rest, _ := strings.Cut(string(m.Raw()), "Via: ")
	_, second, _ := strings.Cut(rest, "Via: ")
	second, _, _ = strings.Cut(second, "\r\n")
	p.SendRaw([]byte(strings.Replace(string(sip.AppendResponse(nil, m, 200, "", "b")), "Via: "+second+"\r\n", "", 1)))
	alice.Expect("502")
}

// RFC 3261 16.7 step 6: a 503 says something of the next server, not of us.
func Test503Becomes500(t *testing.T) {
	w := start(t)
	alice, p := w.UDPPeer(t), w.UDPPeer(t)
	w.to(p)
	alice.Request("MESSAGE", bob, "z9hG4bKa1", 1, "")
	p.Reply(p.Expect("MESSAGE"), 503)
	alice.Expect("500")
}

func TestRefusedBeforeForwarding(t *testing.T) {
	w := start(t)
	alice, p := w.UDPPeer(t), w.UDPPeer(t)
	w.to(p)
	head := "\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\n"
	alice.Send("MESSAGE " + bob + " SIP/2.0\nVia: $via;branch=z9hG4bKa1\nMax-Forwards: 0" + head + "CSeq: 1 MESSAGE\n\n")
	alice.Expect("483")
	alice.Request("MESSAGE", bob, "z9hG4bKa2", 2, "", "Proxy-Require: x-teleport")
	if m := alice.Expect("420"); string(m.Header(sip.HUnsupported)) != "x-teleport" {
		t.Errorf("Unsupported is missing:\n%s", m.Raw())
	}
	w.to(p, p, p)
	alice.Request("MESSAGE", bob, "z9hG4bKa3", 3, "", "Max-Breadth: 2")
	alice.Expect("440")
	p.Quiet()
}

// RFC 5393 4.2: a request that comes back as it left is a loop, one that comes back with another request URI is not.
func TestLoops(t *testing.T) {
	w := start(t)
	alice, p := w.UDPPeer(t), w.UDPPeer(t)
	w.with(proxy.Options{}, p)
	self := flow.Target{Transport: flow.UDP, Addr: w.UDP}
	w.set(func(tx *stack.ServerTxn) ([]proxy.Branch, proxy.Options) {
		b := proxy.Branch{}
		b.Dest.Targets = []flow.Target{self}
		if string(tx.Request().RequestURI()) == "sip:spiral@example.test" {
			b.URI = []byte("sip:landed@example.test")
		} else if string(tx.Request().RequestURI()) == "sip:landed@example.test" {
			b.Dest = stack.Destination{Targets: []flow.Target{{Transport: flow.UDP, Addr: p.Addr()}}}
		}
		return []proxy.Branch{b}, proxy.Options{}
	})
	alice.Request("MESSAGE", "sip:loop@example.test", "z9hG4bKa1", 1, "")
	alice.Expect("482")
	alice.Request("MESSAGE", "sip:spiral@example.test", "z9hG4bKa2", 2, "")
	m := p.Expect("MESSAGE")
	if m.Count(sip.HVia) != 3 {
		t.Errorf("%d Vias, want 3", m.Count(sip.HVia))
	}
	p.Reply(m, 200)
	alice.Expect("200")
	if st := w.proxy.Stats(); st.Loops != 1 {
		t.Errorf("%d loops, want 1", st.Loops)
	}
}

func TestRoutesAreChecked(t *testing.T) {
	w := start(t)
	alice, phone := w.TCPPeer(t), w.TCPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	inv := phone.Expect("INVITE")
	phone.Reply(inv, 200)
	ok := alice.Expect("200")
	r := routes(ok)

	// An open relay would send this anywhere.
	i := strings.Index(r[1], "@")
	forged := strings.Replace(r[1][:i-1], "sip:f", "sip:fA", 1) + r[1][i:] // same length, other content
	alice.Request("INFO", "sip:victim@192.0.2.9", "z9hG4bKa2", 2, "b", forged)
	alice.Expect("403")

	// A token does not let new requests past what is decided about them.
	alice.Request("MESSAGE", bob, "z9hG4bKa3", 3, "", r[1])
	alice.Expect("403")

	// A Route that only names us is taken off.
	alice.Request("MESSAGE", bob, "z9hG4bKa4", 4, "", "Route: <sip:parley.example.test;lr>, <sip:parley.example.test:5061;lr>")
	m := phone.Expect("MESSAGE")
	if m.Has(sip.HRoute) {
		t.Errorf("our Route went to the phone:\n%s", m.Raw())
	}
	phone.Reply(m, 200)
	alice.Expect("200")

	f := w.flowOf(phone)
	phone.Close()
	<-f.Done()
	alice.Request("BYE", "sip:phone0@192.0.2.9", "z9hG4bKa5", 5, "b", r...)
	alice.Expect("430")

	// A phone that came back on another connection is found there.
	back := w.TCPPeer(t)
	b := proxy.Branch{URI: []byte("sip:phone0@" + back.Addr().String())}
	b.Dest.Flow = w.flowOf(back)
	w.mu.Lock()
	w.anew = func() []proxy.Branch { return []proxy.Branch{b} }
	w.mu.Unlock()
	alice.Request("BYE", "sip:phone0@192.0.2.9", "z9hG4bKa6", 6, "b", r...)
	bye := back.Expect("BYE")
	if bye.Has(sip.HRoute) {
		t.Errorf("our Route went to the phone:\n%s", bye.Raw())
	}
	back.Reply(bye, 200)
	alice.Expect("200")
	alice.Request("ACK", "sip:phone0@192.0.2.9", "z9hG4bKa6", 5, "b", r...) // has no answer
	alice.Quiet()
	if st := w.proxy.Stats(); st.Forged != 2 || st.Gone != 3 {
		t.Errorf("%d forged, %d gone, want 2 and 3", st.Forged, st.Gone)
	}
}

// A UDP phone is reached by its address in the token, also when its flow was forgotten in between.
func TestUDPRouteOutlivesItsFlow(t *testing.T) {
	w := start(t)
	alice, phone := w.TCPPeer(t), w.UDPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	phone.Reply(phone.Expect("INVITE"), 200)
	ok := alice.Expect("200")
	f := w.flowOf(phone)
	f.Close(flow.ErrIdle)
	<-f.Done()
	alice.Request("BYE", "sip:phone0@192.0.2.9", "z9hG4bKa2", 2, "b", routes(ok)...)
	phone.Reply(phone.Expect("BYE"), 200)
	alice.Expect("200")
}

// Between servers the way is by address, and our Route is tied to the dialog.
func TestDialogWithAnotherServer(t *testing.T) {
	w := start(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	alice := w.TCPPeer(t)
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	w.set(func(*stack.ServerTxn) ([]proxy.Branch, proxy.Options) {
		b := proxy.Branch{}
		b.Dest.Targets = []flow.Target{{Transport: flow.TCP, Addr: addr}}
		return []proxy.Branch{b}, proxy.Options{RecordRoute: true}
	})
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server := stacktest.Conn(t, c)
	inv := server.Expect("INVITE")
	if v, _ := inv.TopVia(); v.Port != w.TCP.Port() {
		t.Errorf("our Via has port %d, want the listener's %d", v.Port, w.TCP.Port())
	}
	server.Reply(inv, 200)
	ok := alice.Expect("200")
	r := routes(ok)
	alice.Request("INFO", "sip:gw@"+addr.String()+";transport=tcp", "z9hG4bKa2", 2, "b", r...)
	server.Reply(server.Expect("INFO"), 200) // found by the request URI, over the same connection
	alice.Expect("200")
	alice.Send("INFO sip:x@192.0.2.9 SIP/2.0\nVia: $via;branch=z9hG4bKa3\nMax-Forwards: 70\nFrom: <sip:a@example.test>;tag=a\n" +
		"To: <sip:b@example.test>;tag=b\nCall-ID: another\nCSeq: 1 INFO\n" + r[1] + "\n\n")
	alice.Expect("403")
	// From the server to the phone.
	server.Send("BYE sip:alice@192.0.2.1 SIP/2.0\nVia: $via;branch=z9hG4bKb1\nMax-Forwards: 70\nFrom: <sip:bob@example.test>;tag=b\n" +
		"To: <sip:alice@example.test>;tag=a\nCall-ID: call\nCSeq: 1 BYE\n" + strings.Join(routes(inv), "\n") + "\n\n")
	alice.Reply(alice.Expect("BYE"), 200)
	server.Expect("200")
}

func TestPathOnForwardedRegister(t *testing.T) {
	w := start(t)
	alice, registrar := w.TCPPeer(t), w.UDPPeer(t)
	w.with(proxy.Options{Path: true}, registrar)
	alice.Request("REGISTER", "sip:example.test", "z9hG4bKa1", 1, "")
	m := registrar.Expect("REGISTER")
	path := string(m.Header(sip.HPath))
	if !strings.HasSuffix(path, ";transport=tcp;lr;ob>") || m.Has(sip.HRecordRoute) {
		t.Errorf("Path %s in\n%s", path, m.Raw())
	}
	registrar.Reply(m, 200)
	alice.Expect("200")
}

func TestRequestDisposition(t *testing.T) {
	w := start(t)
	alice, p, q := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	w.to(p, q)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "", "Request-Disposition: proxy, sequential")
	ip := p.Expect("INVITE")
	q.Quiet()
	p.Reply(ip, 486)
	p.Expect("ACK")
	iq := q.Expect("INVITE")
	q.Reply(iq, 486)
	q.Expect("ACK")
	m := alice.Expect("486")
	alice.Request("ACK", bob, "z9hG4bKa1", 1, string(m.ToTag()))
	alice.Request("INVITE", bob, "z9hG4bKa2", 2, "", "d: no-fork")
	ip = p.Expect("INVITE")
	q.Quiet()
	p.Reply(ip, 486)
	alice.Expect("486")
}

// TestCancelRacesAnswer lets CANCEL and 200 meet at all places they can, many times, and checks that the caller and
// the phone agree in the end: either the call stands or it does not.
func TestCancelRacesAnswer(t *testing.T) {
	const rounds = 200
	w := start(t)
	early, late := 0, 0
	for _, tr := range []string{"UDP", "TCP"} {
		alice, phone := w.UDPPeer(t), w.UDPPeer(t)
		if tr == "TCP" {
			alice, phone = w.TCPPeer(t), w.TCPPeer(t)
		}
		w.to(phone)
		for i := range rounds {
			branch := fmt.Sprintf("z9hG4bK%s%d", tr, i)
			alice.Request("INVITE", bob, branch, i, "")
			inv := phone.Expect("INVITE")
			phone.Reply(inv, 180)
			alice.Expect("180")
			var wg sync.WaitGroup
			wg.Go(func() { alice.Request("CANCEL", bob, branch, i, "") })
			wg.Go(func() { phone.Reply(inv, 200) })
			wg.Wait()
			// The phone answered: whatever the CANCEL did, the caller must hear the 200, besides the 200 to its
			// CANCEL.
			invite, cancel := 0, 0
			for invite == 0 || cancel == 0 {
				m := alice.Receive()
				if m.StatusCode() != 200 {
					t.Fatalf("round %d: the caller hears %d", i, m.StatusCode())
				}
				if _, method := m.CSeq(); method == sip.INVITE {
					invite++
				} else {
					cancel++
				}
			}
			// A CANCEL that was faster reached the phone and is answered by it.
			switch phone.Drain("CANCEL") {
			case 0:
				late++
			default:
				early++
			}
		}
	}
	t.Logf("%d CANCELs came after the 200, %d before", late, early)
}
