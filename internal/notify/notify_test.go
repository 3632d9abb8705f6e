package notify_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/notify"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a notifier of the package "weather", whose document is what state
// says. Everybody is who X-Who says.
type world struct {
	*stacktest.Server
	n     *notify.Notifier
	state atomic.Pointer[string]
	ended chan *notify.Subscription
	t     *testing.T
}

func start(t *testing.T, limits event.Limits) *world {
	w := &world{ended: make(chan *notify.Subscription, 16), t: t}
	w.says("sunny")
	ready := make(chan struct{})
	w.Server = stacktest.Start(t, stack.Config{
		Admit: func(tx *stack.ServerTxn) error {
			tx.SetIdentity(uc.Identity{AOR: uc.AOR(tx.Request().HeaderNamed("X-Who")), Class: uc.Client})
			return nil
		},
		Route: func(tx *stack.ServerTxn) {
			<-ready
			if notify.Known(tx.Request()) {
				w.n.Refresh(tx)
				return
			}
			w.n.Subscribe(tx, notify.Request{Resources: []string{"here"}, Accept: []string{"text/weather"}, PerWatcher: 2})
		},
	})
	w.n = notify.New(notify.Config{Package: "weather", Stack: w.Stack, Log: slog.New(slog.DiscardHandler), Limits: limits, Now: w.Clock.Now,
		Document: func(*notify.Subscription, event.Notice, []string) (string, []byte) {
			return "text/weather", []byte(*w.state.Load())
		},
		Ended: func(s *notify.Subscription) { w.ended <- s }})
	close(ready)
	return w
}

func (w *world) says(s string) { w.state.Store(&s) }

// pass lets time go by for the stack and for the notifier.
func (w *world) pass(d time.Duration) {
	w.Advance(w.t, d)
	w.n.Ring()
}

// subscribe sends a SUBSCRIBE and returns the answer.
func (w *world) subscribe(p *stacktest.Peer, call, totag, who string, seconds int, extra ...string) *sip.Message {
	to := "<sip:here@example.test>"
	if totag != "" {
		to += ";tag=" + totag
	}
	cseq := 1
	if totag != "" {
		cseq = seq()
	}
	p.Send(fmt.Sprintf("SUBSCRIBE sip:here@example.test SIP/2.0\nVia: $via;branch=z9hG4bK%d\nMax-Forwards: 70\nFrom: <sip:%s>;tag=a\nTo: %s\nCall-ID: %s\nCSeq: %d SUBSCRIBE\nContact: <sip:a@%s>\nEvent: weather\nExpires: %d\nX-Who: %s\n%sContent-Length: 0\n\n",
		seq(), who, to, call, cseq, p.Addr(), seconds, who, strings.Join(append(extra, ""), "\n")))
	return p.Receive()
}

var counter = 1

func seq() int { counter++; return counter }

func want(t *testing.T, m *sip.Message, code int) *sip.Message {
	t.Helper()
	if m.StatusCode() != code {
		t.Fatalf("got %d, want %d\n%s", m.StatusCode(), code, m.Raw())
	}
	return m
}

// told receives a NOTIFY and answers it.
func told(t *testing.T, p *stacktest.Peer, state, doc string, code int) *sip.Message {
	t.Helper()
	m := p.Expect("NOTIFY")
	if got := string(m.Header(sip.HSubscriptionState)); !strings.HasPrefix(got, state) || string(m.Body()) != doc {
		t.Fatalf("told %q, %q; want %q, %q", got, m.Body(), state, doc)
	}
	if code > 0 {
		p.Reply(m, code)
	}
	return m
}

const alice = "alice@example.test"

func TestOneNotifyAtATime(t *testing.T) {
	w := start(t, event.Limits{})
	p := w.UDPPeer(t)
	want(t, w.subscribe(p, "1", "", alice, 600), 200)
	first := told(t, p, "active;expires=600", "sunny", 0)
	w.says("rain")
	w.n.Changed("here")
	w.says("snow")
	w.n.Changed("here")
	p.Quiet()
	p.Reply(first, 200)
	second := told(t, p, "active", "snow", 200)
	a, _ := first.CSeq()
	b, _ := second.CSeq()
	if b != a+1 || string(second.Header(sip.HEvent)) != "weather" || string(second.ToTag()) != "a" {
		t.Errorf("second\n%s", second.Raw())
	}
	p.Quiet()
}

func TestIntervalGathersChanges(t *testing.T) {
	w := start(t, event.Limits{Interval: 5 * time.Second})
	p := w.TCPPeer(t)
	want(t, w.subscribe(p, "1", "", alice, 600), 200)
	told(t, p, "active", "sunny", 200)
	w.says("rain")
	w.n.Changed("here")
	p.Quiet()
	w.pass(5 * time.Second)
	told(t, p, "active", "rain", 200)
}

func TestSubscriptionExpires(t *testing.T) {
	w := start(t, event.Limits{Min: time.Minute})
	p := w.TCPPeer(t)
	if m := want(t, w.subscribe(p, "0", "", alice, 5), 423); string(m.Header(sip.HMinExpires)) != "60" {
		t.Errorf("Min-Expires %q", m.Header(sip.HMinExpires))
	}
	tag := string(want(t, w.subscribe(p, "1", "", alice, 60), 200).ToTag())
	told(t, p, "active", "sunny", 200)
	p.Quiet()
	w.pass(30 * time.Second)
	want(t, w.subscribe(p, "1", tag, alice, 60), 200)
	told(t, p, "active;expires=60", "sunny", 200)
	p.Quiet() // the answer has arrived before time goes by
	w.pass(59 * time.Second)
	p.Quiet()
	w.pass(2 * time.Second)
	told(t, p, "terminated;reason=timeout", "sunny", 200)
	<-w.ended
	want(t, w.subscribe(p, "1", tag, alice, 60), 481)
	if w.n.Len() != 0 || w.n.Watched("here") {
		t.Error("something is left")
	}
}

func TestWhoMay(t *testing.T) {
	w := start(t, event.Limits{})
	p := w.TCPPeer(t)
	tag := string(want(t, w.subscribe(p, "1", "", alice, 60), 200).ToTag())
	told(t, p, "active", "sunny", 200)
	want(t, w.subscribe(p, "1", tag, "mallory@example.test", 0), 403)
	want(t, w.subscribe(p, "2", "", alice, 60, "Accept: text/plain, application/*"), 406)
	want(t, w.subscribe(p, "2", "", alice, 60, "Accept: text/*"), 200)
	told(t, p, "active", "sunny", 200)
	want(t, w.subscribe(p, "3", "", alice, 60), 403) // the third of two
}

func TestRefusedNotifyEnds(t *testing.T) {
	w := start(t, event.Limits{})
	p := w.TCPPeer(t)
	want(t, w.subscribe(p, "1", "", alice, 60), 200)
	told(t, p, "active", "sunny", 481)
	<-w.ended
}

func TestFlowTakesSubscriptionAlong(t *testing.T) {
	w := start(t, event.Limits{})
	p, q := w.TCPPeer(t), w.TCPPeer(t)
	tag := string(want(t, w.subscribe(p, "1", "", alice, 60), 200).ToTag())
	told(t, p, "active", "sunny", 200)
	p.Quiet()
	t.Run("a refresh moves it", func(t *testing.T) {
		want(t, w.subscribe(q, "1", tag, alice, 60), 200)
		told(t, q, "active", "sunny", 200)
		p.Close()
		w.says("cloudy")
		w.n.Changed("here")
		told(t, q, "active", "cloudy", 200)
	})
	t.Run("a change to the same is not told", func(t *testing.T) {
		w.n.Changed("here")
		q.Quiet()
	})
	q.Close()
	<-w.ended
	if w.n.Len() != 0 {
		t.Error("it is left")
	}
}

func TestResourceEnds(t *testing.T) {
	w := start(t, event.Limits{})
	p := w.TCPPeer(t)
	want(t, w.subscribe(p, "1", "", alice, 60), 200)
	told(t, p, "active", "sunny", 200)
	w.n.End("here", event.NoResource)
	told(t, p, "terminated;reason=noresource", "sunny", 200)
	<-w.ended
}
