package event

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A transcript in testdata is a list of steps: a command, a line of dashes, and the effects it has, until an empty
// line. Its first line cites what it shows. Commands:
//
//	limits MIN MAX DEFAULT INTERVAL       a new machine; the clock starts at 0s
//	subscribe DURATION|none [authorized]  approve, change, end REASON [RETRY-AFTER]
//	answered CODE [RETRY-AFTER]           our NOTIFY was answered
//	publish DURATION|none [body] [if=TAG] a PUBLISH; tags are counted e1, e2, ...
//	run DURATION                          let time pass, with a tick whenever the machine asked for one
//
// Run with -rewrite to write down what the machines do now, and commit only what you understand.
var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}

type runner struct {
	sub  Subscription
	pub  Publications
	now  time.Time
	wake time.Time
	tags int
}

func replay(t *testing.T, text string) string {
	r := runner{now: epoch}
	var out strings.Builder
	for n, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		command, _, _ := strings.Cut(block, "\n----")
		if n == 0 {
			if !strings.HasPrefix(command, "# RFC ") {
				t.Fatal("the first line of a transcript cites the requirement it shows")
			}
			out.WriteString(block + "\n")
			continue
		}
		lines := strings.Split(command, "\n")
		effects, err := r.run(strings.Fields(lines[len(lines)-1])) // what comes before are comments
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		fmt.Fprintf(&out, "\n%s\n----\n%s\n", command, strings.Join(effects, "\n"))
	}
	return out.String()
}

func (r *runner) run(word []string) ([]string, error) {
	var failed error
	duration := func(i int) time.Duration {
		if i >= len(word) {
			return 0
		}
		if word[i] == "none" {
			return NoExpires
		}
		d, err := time.ParseDuration(word[i])
		if err != nil {
			failed = err
		}
		return d
	}
	has := func(s string) bool { return strings.Contains(" "+strings.Join(word[1:], " ")+" ", " "+s+" ") }
	var in Input
	switch word[0] {
	case "limits":
		l := Limits{duration(1), duration(2), duration(3), duration(4)}
		*r = runner{now: epoch, sub: Subscription{Limits: l}, pub: Publications{Limits: l, MaxAll: 2}}
		return []string{"ok"}, failed
	case "run":
		return r.pass(duration(1)), failed
	case "publish":
		return []string{r.publish(duration(1), has("body"), word)}, failed
	case "subscribe":
		in = Input{Kind: Subscribe, Expires: duration(1), Authorized: has("authorized")}
	case "approve":
		in = Input{Kind: Approve}
	case "change":
		in = Input{Kind: Change}
	case "end":
		in = Input{Kind: End, Reason: Reason(word[1]), RetryAfter: duration(2)}
	case "answered":
		code, err := strconv.Atoi(word[1])
		if err != nil {
			return nil, err
		}
		in = Input{Kind: Answered, Code: code, RetryAfter: duration(2)}
	default:
		return nil, fmt.Errorf("unknown command")
	}
	return []string{r.step(in)}, failed
}

func (r *runner) step(in Input) string {
	e := r.sub.Step(r.now, in)
	r.wake = e.WakeAt
	s := fmt.Sprintf("%v %v", r.now.Sub(epoch), r.sub.State())
	if e.Code != 0 {
		s += fmt.Sprintf(", answer %d", e.Code)
	}
	if e.Expires != 0 {
		s += fmt.Sprintf(" Expires %v", e.Expires)
	}
	if e.MinExpires != 0 {
		s += fmt.Sprintf(" Min-Expires %v", e.MinExpires)
	}
	if e.Notify != NoNotify {
		s += fmt.Sprintf(", notify %v %s", e.Notify, e.State)
	}
	if !e.WakeAt.IsZero() {
		s += fmt.Sprintf(", wake at %v", e.WakeAt.Sub(epoch))
	}
	if e.Done {
		s += ", done"
	}
	return s
}

func (r *runner) publish(expires time.Duration, body bool, word []string) string {
	r.tags++
	in := Publish{HasBody: body, Expires: expires, NewETag: "e" + strconv.Itoa(r.tags)}
	for _, w := range word {
		if tag, ok := strings.CutPrefix(w, "if="); ok {
			in.IfMatch = tag
		}
	}
	e := r.pub.Publish(r.now, in)
	s := fmt.Sprintf("%v %v, answer %d", r.now.Sub(epoch), e.Action, e.Code)
	if e.OldETag != "" {
		s += " for " + e.OldETag
	}
	if e.ETag != "" {
		s += fmt.Sprintf(" SIP-ETag %s Expires %v", e.ETag, e.Expires)
	}
	if e.MinExpires != 0 {
		s += fmt.Sprintf(" Min-Expires %v", e.MinExpires)
	}
	return s
}

// pass lets time pass and ticks whenever a machine wants it.
func (r *runner) pass(d time.Duration) []string {
	var out []string
	for end := r.now.Add(d); ; {
		at, pub := r.wake, false
		if next := r.pub.Next(); at.IsZero() || !next.IsZero() && next.Before(at) {
			at, pub = next, true
		}
		if at.IsZero() || at.After(end) {
			r.now = end
			break
		}
		r.now = at
		if pub {
			out = append(out, fmt.Sprintf("%v expired %s", r.now.Sub(epoch), strings.Join(r.pub.Expire(r.now), " ")))
		} else {
			out = append(out, r.step(Input{Kind: Tick}))
		}
	}
	if out == nil {
		out = []string{"nothing"}
	}
	return out
}

// TestStepIsSafeForAnyInput feeds every input in every reachable state and checks what always holds: nothing is
// sent after the end, no second NOTIFY while one is under way unless it is the last, a wake-up while it lives.
func TestStepIsSafeForAnyInput(t *testing.T) {
	inputs := []Input{{Kind: Subscribe, Expires: time.Minute}, {Kind: Subscribe, Expires: time.Minute, Authorized: true}, {Kind: Subscribe},
		{Kind: Subscribe, Expires: time.Second}, {Kind: Subscribe, Expires: NoExpires}, {Kind: Approve}, {Kind: Change}, {Kind: Answered, Code: 200},
		{Kind: Answered, Code: 100}, {Kind: Answered, Code: 481}, {Kind: Answered, Code: 503}, {Kind: End, Reason: NoResource}, {Kind: Tick}}
	var walk func(s Subscription, now time.Time, depth int)
	walk = func(s Subscription, now time.Time, depth int) {
		if depth == 0 {
			return
		}
		for _, in := range inputs {
			for _, pass := range []time.Duration{0, 50 * time.Second} {
				next, at := s, now.Add(pass)
				e := next.Step(at, in)
				switch {
				case e.Done != (next.State() == Terminated):
					t.Fatalf("%+v after %+v: %+v", next, in, e)
				case e.Notify != NoNotify && s.State() == Terminated:
					t.Fatalf("%+v notifies after its end", s)
				case e.Notify != NoNotify && s.inFlight && !e.Done && in.Kind != Answered:
					t.Fatalf("%+v sends a second NOTIFY on %+v", s, in)
				case (in.Kind == Subscribe) != (e.Code != 0):
					t.Fatalf("%+v answers %d to %+v", s, e.Code, in)
				case s.State() != Active && next.State() != Active && e.Notify > Blank && !in.Authorized:
					t.Fatalf("%+v: %+v", next, e)
				case (next.State() == Pending || next.State() == Active) == e.WakeAt.IsZero():
					t.Fatalf("%+v after %+v: wake %v", next, in, e.WakeAt)
				case s.State() == Active && next.State() == Pending:
					t.Fatalf("%+v went back on %+v", s, in)
				}
				walk(next, at, depth-1)
			}
		}
	}
	walk(Subscription{Limits: Limits{Min: 10 * time.Second, Interval: 5 * time.Second}}, epoch, 4)
}

func TestParseEvent(t *testing.T) {
	for in, want := range map[string]string{
		"presence":                 "presence||true",
		"presence.winfo ; id = 7":  "presence.winfo|7|true",
		"dialog;x;ID=a":            "dialog|a|true",
		"message-summary\r\n ;a=b": "message-summary||true",
		"":                         "||false",
		";id=1":                    "|1|false",
		"a b;id=1":                 "a|1|false",
	} {
		e, ok := Parse([]byte(in))
		if got := fmt.Sprintf("%s|%s|%v", e.Package, e.ID, ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseState(t *testing.T) {
	for s := Pending; s <= Terminated; s++ {
		v := StateValue(s, 1500*time.Millisecond, Probation, time.Minute)
		got, params, ok := ParseState([]byte(v))
		if got != s || !ok {
			t.Errorf("%s reads as %v %v", v, got, ok)
		}
		want := map[State]string{Pending: ";expires=2", Active: ";expires=2", Terminated: ";reason=probation;retry-after=60"}[s]
		if string(params) != want {
			t.Errorf("%s has parameters %q", v, params)
		}
	}
	if _, _, ok := ParseState([]byte("waiting;expires=1")); ok {
		t.Error("an unknown state passes for a known one")
	}
}
