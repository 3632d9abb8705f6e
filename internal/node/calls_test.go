package node

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/sip"
)

// answer is the raw text of a response as the node sends it.
func answer(method string, code int, extra string) []byte {
	return fmt.Appendf(nil, "SIP/2.0 %d Text\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n"+
		"From: \"Alice\" <sip:alice@example.test>;tag=a\r\nTo: <sip:bob@example.test>;tag=b\r\nCall-ID: c1\r\n"+
		"CSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n", code, method, extra)
}

func TestCallsFollowWhatIsAnswered(t *testing.T) {
	type step struct {
		method string
		code   int
		extra  string
		at     time.Duration
		want   string // state, "" for gone
	}
	for name, steps := range map[string][]step{
		"challenge, ring, answer, hold, refused re-INVITE, hang up": {
			{"INVITE", 407, "", 0, ""}, {"INVITE", 100, "", 0, ""}, {"INVITE", 180, "", 1, "ringing"},
			{"INVITE", 200, "", 2, "talking"}, {"INVITE", 200, "", 3, "talking"}, {"INVITE", 488, "", 4, "talking"},
			{"BYE", 407, "", 5, "talking"}, {"BYE", 200, "", 5, ""},
		},
		"busy":                     {{"INVITE", 180, "", 0, "ringing"}, {"INVITE", 486, "", 1, ""}},
		"progress without ringing": {{"INVITE", 183, "", 0, "calling"}, {"INVITE", 487, "", 1, ""}},
		"session timer runs out": {
			{"INVITE", 200, "Session-Expires: 90;refresher=uac\r\n", 0, "talking"},
			{"UPDATE", 200, "Session-Expires: 90;refresher=uac\r\n", 80 * time.Second, "talking"},
			{"", 0, "", 170 * time.Second, "talking"},
			{"", 0, "", 203 * time.Second, ""},
		},
		"nobody says good-bye":   {{"INVITE", 200, "", 0, "talking"}, {"", 0, "", 11 * time.Hour, "talking"}, {"", 0, "", 13 * time.Hour, ""}},
		"BYE of a call not seen": {{"BYE", 481, "", 0, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCalls()
			start := time.Unix(1e9, 0)
			for i, s := range steps {
				if s.method != "" {
					c.responded(start.Add(s.at), sip.MethodOf([]byte(s.method)), s.code, answer(s.method, s.code, s.extra))
				}
				c.sweep(start.Add(s.at))
				got := ""
				if l := c.list(); len(l) == 1 {
					got = l[0].State
					if l[0].From != "sip:alice@example.test" || l[0].To != "sip:bob@example.test" {
						t.Errorf("step %d: from %s to %s", i, l[0].From, l[0].To)
					}
				}
				if got != s.want {
					t.Fatalf("step %d (%s %d): state %q, want %q", i, s.method, s.code, got, s.want)
				}
			}
		})
	}
}

func BenchmarkCallsOneCall(b *testing.B) {
	c := newCalls()
	now := time.Unix(1e9, 0)
	ring, ok, bye := answer("INVITE", 180, ""), answer("INVITE", 200, ""), answer("BYE", 200, "")
	b.ReportAllocs()
	for b.Loop() {
		c.responded(now, sip.INVITE, 180, ring)
		c.responded(now, sip.INVITE, 200, ok)
		c.responded(now, sip.BYE, 200, bye)
	}
}
