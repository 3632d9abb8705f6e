package browser

import (
	"io"
	"net"
	"sync"
	"testing"

	"parley/test/parleytest"
)

// A call is handed over without a word, and after one; in both the two who are left hear each other.
func TestTransfer(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol"))
	b, host := launch(t), s.Addr.String()
	alice, bob, carol := enter(t, b, host, "alice"), enter(t, b, host, "bob"), enter(t, b, host, "carol")
	begin := func() {
		t.Helper()
		alice.talksTo("bob")
		alice.click("#call-audio")
		bob.click(`[data-key="answer"]`)
		alice.await(hears)
		alice.click(`[data-key="transfer"]`)
		alice.fill("#transfer-to", "carol")
	}
	end := func() {
		t.Helper()
		bob.await(hears)
		carol.await(hears)
		alice.sees("bob was transferred")
		for _, p := range []*person{bob, carol} {
			p.await(`document.querySelector("section.call h2")?.textContent.startsWith(` + map[*person]string{bob: `"carol"`, carol: `"bob"`}[p] + `)`)
		}
		alice.accessible("transferred")
		bob.click(`[data-key="hangup"]`)
		for _, p := range []*person{alice, bob, carol} {
			p.click(`[data-key="close"]`)
			p.await(`document.querySelector("section.call").hidden`)
		}
	}

	begin()
	alice.accessible("transfer")
	alice.click(`[data-key="hand:carol@example.test"]`)
	carol.click(`[data-key="answer"]`)
	end()

	begin()
	alice.click(`[data-key="ask:carol@example.test"]`)
	carol.click(`[data-key="answer"]`)
	alice.await(hears)
	alice.sees("On hold: bob")
	alice.accessible("consultation")
	alice.click(`[data-key="swap"]`) // a word with the first again
	bob.await(`!document.body.innerText.includes("You are on hold")`)
	alice.sees("On hold: carol")
	alice.click(`[data-key="swap"]`)
	alice.sees("On hold: bob")
	alice.click(`[data-key="complete"]`)
	end()

	for _, p := range []*person{alice, bob, carol} {
		p.clean()
	}
}

// Numbers are called as they are typed; calls that nobody took are counted until somebody looks.
func TestNumbersAndMissedCalls(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	b, host := launch(t), s.Addr.String()
	alice := enter(t, b, host, "alice")
	if out, err := s.CLI(alice.ctx(), "", "user", "set", "bob@example.test", "--phone", "tel:+15550142"); err != nil {
		t.Fatal(err, out)
	}
	bob := enter(t, b, host, "bob")
	alice.goes("#/calls")
	alice.click("#dialpad")
	alice.accessible("dial")
	alice.fill("#dial", "+1 (555) 01-42")
	alice.must(alice.Eval(alice.ctx(), `location.reload()`, nil))
	alice.await(`document.querySelector("#address")`)
	alice.signIn(parleytest.Password)
	alice.click(`nav a[href="#/calls"]`)
	alice.await(`document.querySelector("#dial")?.value === "+1 (555) 01-42"`) // what was typed is not lost
	alice.click("#dial-call")
	bob.await(`document.querySelector('[data-key="answer"]')`)
	alice.click(`[data-key="hangup"]`)
	bob.sees("Missed call")
	alice.click(`[data-key="close"]`)

	bob.await(`document.querySelector('nav a[href="#/calls"] .count')?.textContent.startsWith("1")`)
	bob.click(`[data-key="close"]`)
	bob.goes("#/calls")
	bob.await(`document.querySelector('nav a[href="#/calls"] .count').hidden`)
	bob.click(`[data-kind="out"]`)
	bob.sees("No calls yet")
	bob.click(`[data-kind="missed"]`)
	bob.await(`document.querySelectorAll(".list .row .missed").length === 1`)
	bob.accessible("missed")

	// Once more for the last number, and once more to call it.
	alice.goes("#/calls")
	alice.click("#dial-call")
	alice.await(`document.querySelector("#dial").value === "+15550142"`)
	alice.click("#dial-call")
	bob.click(`[data-key="answer"]`)
	alice.await(hears)
	bob.await(hears)
	alice.click(`[data-key="hangup"]`)
	alice.clean()
	bob.clean()
}

// cable is a way to the server that can be cut.
type cable struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{l: l, to: to, conns: map[net.Conn]bool{}}
	c.wait.Go(c.accept)
	t.Cleanup(func() { l.Close(); c.set(true); c.wait.Wait() })
	return c
}

func (c *cable) accept() {
	for {
		in, err := c.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.mu.Lock()
		if c.cut {
			in.Close()
			out.Close()
		}
		c.conns[in], c.conns[out] = true, true
		c.mu.Unlock()
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			c.wait.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // until somebody hangs up
				way[0].Close()
				way[1].Close()
			})
		}
	}
}

// set cuts the cable, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for conn := range c.conns {
			conn.Close()
			delete(c.conns, conn)
		}
	}
}

// The network goes away in a call and comes back: the user is signed in again, what he wrote meanwhile is sent, and the
// call goes on by a way that was looked for anew.
func TestNetworkLoss(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	b := launch(t)
	wire := newCable(t, s.Addr.String()+":443")
	alice, bob := enter(t, b, wire.l.Addr().String(), "alice"), enter(t, b, s.Addr.String(), "bob")
	alice.talksTo("bob")
	alice.click("#call-audio")
	bob.click(`[data-key="answer"]`)
	alice.await(hears)
	const ufrag = `pcs.at(-1).localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]`
	alice.must(alice.Eval(alice.ctx(), `window.ufrag = `+ufrag, nil))
	wire.set(true)
	alice.sees("The server cannot be reached")
	alice.accessible("away")
	alice.writes("are you there?")
	alice.sees("Will be sent when the server is back")
	wire.set(false)
	alice.await(`document.querySelector(".banner").hidden`)
	bob.goes("#/chats")
	bob.sees("are you there?")
	alice.await(ufrag + ` !== window.ufrag`)
	alice.await(hears)
	alice.await(`pcs.at(-1).iceConnectionState === "connected" || pcs.at(-1).iceConnectionState === "completed"`)
	bob.click(`[data-key="hangup"]`)
	alice.sees("Call ended")
}
