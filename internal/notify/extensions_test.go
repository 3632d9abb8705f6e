package notify_test

import (
	"strings"
	"testing"
	"time"

	"parley/internal/sip"
	"parley/internal/sip/event"
)

var offers = []string{"Supported: ms-piggyback-first-notify", "Supported: ms-benotify", "Supported: com.microsoft.autoextend"}

// The first document comes with the answer, the others as BENOTIFY that nobody
// answers and that renew the subscription.
func TestExtensions(t *testing.T) {
	w := start(t, event.Limits{})
	p := w.TCPPeer(t)
	m := want(t, w.subscribe(p, "1", "", alice, 60, offers...), 200)
	if string(m.Body()) != "sunny" || string(m.HeaderNamed("ms-piggyback-cseq")) != "1" || string(m.Header(sip.HEvent)) != "weather" ||
		string(m.HeaderNamed("subscription-state")) != "active;expires=60" || !strings.Contains(string(m.Raw()), "\nSupported: ms-benotify\r\n") {
		t.Fatalf("answer\n%s", m.Raw())
	}
	p.Quiet()
	w.pass(50 * time.Second)
	w.says("rain")
	w.n.Changed("here")
	b := p.Expect("BENOTIFY")
	if n, _ := b.CSeq(); string(b.Body()) != "rain" || n != 2 || !strings.HasPrefix(string(b.Header(sip.HSubscriptionState)), "active;expires=60") {
		t.Fatalf("told\n%s", b.Raw())
	}
	w.says("snow")
	w.n.Changed("here") // without an answer to the first
	if b := p.Expect("BENOTIFY"); string(b.Body()) != "snow" {
		t.Fatalf("told\n%s", b.Raw())
	}
	w.pass(50 * time.Second)
	p.Quiet() // renewed
	w.pass(15 * time.Second)
	if b := p.Expect("BENOTIFY"); !strings.HasPrefix(string(b.Header(sip.HSubscriptionState)), "terminated") {
		t.Errorf("the end\n%s", b.Raw())
	}
	<-w.ended
}

// A fetch is one answer and nothing else, and so is signing off.
func TestFetchExtended(t *testing.T) {
	w := start(t, event.Limits{Min: time.Minute})
	p := w.TCPPeer(t)
	m := want(t, w.subscribe(p, "1", "", alice, 0, offers...), 200)
	if string(m.Body()) != "sunny" || string(m.HeaderNamed("subscription-state")) != "terminated;expires=0" {
		t.Fatalf("answer\n%s", m.Raw())
	}
	tag := string(want(t, w.subscribe(p, "2", "", alice, 60, offers...), 200).ToTag())
	if m := want(t, w.subscribe(p, "2", tag, alice, 0, offers...), 200); len(m.Body()) != 0 {
		t.Errorf("signed off\n%s", m.Raw())
	}
	p.Quiet()
	if w.n.Len() != 0 {
		t.Error("something is left")
	}
}
