package proxy_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
)

// TestStorm places many calls at once to phones that answer, refuse, hang up and stay silent as chance has it, over
// UDP and TCP, forked and one after the other, with callers who give up at any moment. Each INVITE must end in
// exactly one kind of final answer, each CANCEL in one, and nothing may be left over.
func TestStorm(t *testing.T) {
	const callers, calls = 4, 40
	w := start(t)
	phones := []*stacktest.Peer{w.UDPPeer(t), w.TCPPeer(t), w.UDPPeer(t), w.TCPPeer(t)}
	var branches []proxy.Branch
	for i, p := range phones {
		b := proxy.Branch{URI: []byte("sip:phone" + strconv.Itoa(i) + "@example.test"), Group: i / 3}
		b.Dest.Flow = w.flowOf(p)
		branches = append(branches, b)
	}
	w.set(func(tx *stack.ServerTxn) ([]proxy.Branch, proxy.Options) {
		n := 1 + int(tx.Request().CallID()[0])%len(branches)
		return branches[:n], proxy.Options{RecordRoute: true}
	})
	stop := make(chan struct{})
	var playing sync.WaitGroup
	for _, p := range phones {
		playing.Go(func() { p.Play(stop, answerByChance()) })
	}
	var calling sync.WaitGroup
	for c := range callers {
		p := w.UDPPeer(t)
		if c%2 == 0 {
			p = w.TCPPeer(t)
		}
		calling.Go(func() {
			for i := range calls {
				if err := callByChance(w, p, fmt.Sprintf("%c%d-%d", 'a'+rune(rand.IntN(4)), c, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	calling.Wait()
	close(stop)
	playing.Wait()
	w.Advance(t, 70*time.Second)
	if st := w.Stack.Stats(); st.Table != 0 || st.OpenServer != 0 || st.Panics != 0 || w.proxy.Stats().Panics != 0 {
		t.Errorf("%d transactions left, %d open, %d panics", st.Table, st.OpenServer, st.Panics)
	}
}

// answerByChance returns a phone.
func answerByChance() func(p *stacktest.Peer, m *sip.Message) {
	invites := map[string]*sip.Message{} // by branch
	return func(p *stacktest.Peer, m *sip.Message) {
		via, _ := m.TopVia()
		branch := string(via.Branch)
		switch {
		case !m.IsRequest() || m.Method() == sip.ACK:
		case m.Method() == sip.CANCEL:
			p.TryReply(m, 200)
			// Also when it was answered: a final response too much must do no harm.
			if inv := invites[branch]; inv != nil {
				p.TryReply(inv, 487)
			}
		case m.Method() == sip.INVITE:
			invites[branch] = m
			if rand.IntN(2) == 0 {
				p.TryReply(m, 100)
			}
			if rand.IntN(4) > 0 {
				p.TryReply(m, 180)
			}
			switch rand.IntN(6) {
			case 0, 1:
				p.TryReply(m, 200)
			case 2:
				p.TryReply(m, 486)
			case 3:
				p.TryReply(m, 603)
			case 4:
				p.TryReply(m, 180) // goes on ringing until it is cancelled
			}
		default:
			p.TryReply(m, 200)
		}
	}
}

// callByChance is one call: it waits for the final answer, gives up by chance, and sends what ends it.
func callByChance(w *world, p *stacktest.Peer, id string) error {
	branch := "z9hG4bK" + id
	send := func(method, totag string) {
		to := ""
		if totag != "" {
			to = ";tag=" + totag
		}
		p.TrySend(method + " sip:bob@example.test SIP/2.0\nVia: $via;branch=" + branch + ";rport\nMax-Forwards: 70\n" +
			"From: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>" + to + "\nCall-ID: " + id + "\nCSeq: 1 " + method + "\n\n")
	}
	send("INVITE", "")
	giveUp := rand.IntN(3) == 0
	if giveUp {
		send("CANCEL", "")
	}
	cancelled, final := giveUp, 0
	cancelAnswers := 0
	for waits := 0; final == 0 || cancelled && cancelAnswers == 0; {
		if waits++; waits > 500 {
			return fmt.Errorf("%s: no end: final %d, cancelled %v, answers to it %d, %+v", id, final, cancelled, cancelAnswers, w.Stack.Stats())
		}
		m, err := p.ReceiveWithin(20 * time.Millisecond)
		if err != nil { // nobody answers: give up, and let time pass for phones that will not say anything
			if !cancelled {
				cancelled = true
				send("CANCEL", "")
				continue
			}
			w.AdvanceOnce(8 * time.Second)
			continue
		}
		if string(m.CallID()) != id {
			continue // a late 2xx of the call before
		}
		if m.Method() == sip.CANCEL {
			if m.StatusCode() != 200 && final == 0 {
				return fmt.Errorf("%s: CANCEL answered %d before the INVITE had an answer", id, m.StatusCode())
			}
			cancelAnswers++
			continue
		}
		switch code := m.StatusCode(); {
		case code < 200:
			if final != 0 {
				return fmt.Errorf("%s: %d after %d", id, code, final)
			}
			if !cancelled && rand.IntN(4) == 0 {
				cancelled = true
				send("CANCEL", "")
			}
		case code < 300:
			if final >= 300 {
				return fmt.Errorf("%s: %d after %d", id, code, final)
			}
			final = code
		default:
			if final != 0 && final != code {
				return fmt.Errorf("%s: %d after %d", id, code, final)
			}
			final = code
			send("ACK", string(m.ToTag()))
		}
	}
	return nil
}
