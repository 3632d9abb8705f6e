package interop

import (
	"testing"
	"time"
)

// pairs are the transports of caller and callee.
var pairs = [][2]string{{"tls", "tls"}, {"tcp", "tcp"}, {"udp", "udp"}, {"tls", "udp"}, {"udp", "tls"}}

func TestToneBothWays(t *testing.T) {
	s := start(t, "alice", "bob")
	for _, pair := range pairs {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			alice := signIn(t, s, "alice", pair[0], says(997))
			bob := signIn(t, s, "bob", pair[1], says(633), answers)
			alice.dial("bob")
			alice.await("CALL_ESTABLISHED")
			bob.await("CALL_ESTABLISHED")
			bob.hears(997)
			alice.hears(633)
			alice.do("hangup", "")
			bob.await("CALL_CLOSED")
		})
	}
}

func TestCalleeHangsUp(t *testing.T) {
	s := start(t, "alice", "bob")
	alice, bob := signIn(t, s, "alice", "tls"), signIn(t, s, "bob", "tls", answers)
	alice.dial("bob")
	alice.await("CALL_ESTABLISHED")
	bob.await("CALL_ESTABLISHED")
	bob.do("hangup", "")
	alice.await("CALL_CLOSED")
}

func TestHoldAndResume(t *testing.T) {
	s := start(t, "alice", "bob")
	alice := signIn(t, s, "alice", "tls", says(997))
	bob := signIn(t, s, "bob", "tls", says(633), answers)
	alice.dial("bob")
	alice.await("CALL_ESTABLISHED")
	bob.await("CALL_ESTABLISHED")
	bob.hears(997)
	alice.do("hold", "")
	bob.await("CALL_REMOTE_SDP", "CALL_HOLD")
	bob.logs(`a=(sendonly|inactive)`)
	alice.do("resume", "")
	bob.await("CALL_REMOTE_SDP", "CALL_RESUME")
	alice.do("hangup", "")
	bob.await("CALL_CLOSED")
}

func TestBlindTransfer(t *testing.T) {
	s := start(t, "alice", "bob", "carol")
	alice := signIn(t, s, "alice", "tls", says(997))
	bob := signIn(t, s, "bob", "tls", says(633), answers)
	carol := signIn(t, s, "carol", "tls", says(1300), answers)
	alice.dial("bob")
	alice.await("CALL_ESTABLISHED")
	bob.await("CALL_ESTABLISHED")
	bob.do("transfer", "sip:carol@"+domain) // bob hands alice over
	carol.await("CALL_ESTABLISHED")
	alice.await("CALL_ESTABLISHED")
	carol.hears(997)
	alice.hears(1300)
	alice.do("hangup", "")
	carol.await("CALL_CLOSED")
}

func TestCallerGivesUp(t *testing.T) {
	s := start(t, "alice", "bob")
	alice, bob := signIn(t, s, "alice", "tls"), signIn(t, s, "bob", "tls")
	alice.dial("bob")
	bob.await("CALL_INCOMING")
	alice.await("CALL_RINGING")
	alice.do("hangup", "")
	alice.await("CALL_CLOSED")
	bob.await("CALL_CLOSED")
}

func TestBusy(t *testing.T) {
	s := start(t, "alice", "bob")
	alice, bob := signIn(t, s, "alice", "tls"), signIn(t, s, "bob", "tls")
	alice.dial("bob")
	bob.await("CALL_INCOMING")
	bob.do("hangup", "") // baresip refuses a call that rings with 486
	e := alice.await("CALL_CLOSED")
	if want := "486"; len(e.Param) < 3 || e.Param[:3] != want {
		t.Errorf("alice saw %q, want %s", e.Param, want)
	}
}

func TestNoAnswer(t *testing.T) {
	s := start(t, "alice", "bob")
	alice, bob := signIn(t, s, "alice", "tls"), signIn(t, s, "bob", "tls", givesUpAfter(3*time.Second))
	alice.dial("bob")
	bob.await("CALL_INCOMING")
	bob.await("CALL_CLOSED") // nobody touched it
	alice.await("CALL_CLOSED")
}

func TestCallToNobody(t *testing.T) {
	s := start(t, "alice", "bob")
	alice := signIn(t, s, "alice", "tls")
	for user, want := range map[string]string{"bob": "480", "nobody": "404"} {
		if s.foreign && user == "nobody" {
			continue
		}
		alice.dial(user)
		e := alice.await("CALL_CLOSED")
		if len(e.Param) < 3 || e.Param[:3] != want {
			t.Errorf("a call to %s ended with %q, want %s", user, e.Param, want)
		}
	}
}

func TestPhoneLeaves(t *testing.T) {
	for _, transport := range []string{"tls", "tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			s := start(t, "alice", "bob")
			alice := signIn(t, s, "alice", transport)
			bob := signIn(t, s, "bob", transport)
			bob.Stop() // signs out first
			alice.dial("bob")
			if e := alice.await("CALL_CLOSED"); len(e.Param) < 3 || e.Param[:3] != "480" {
				t.Errorf("a call to a phone that left ended with %q, want 480", e.Param)
			}
		})
	}
}
