package txn

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
//	client|server INVITE|other udp|tcp   a new machine; the clock starts at 0s
//	start, request, ack, cancelled, transport-error, respond CODE, response CODE
//	run DURATION                         let time pass, with a tick whenever the machine asked for one
//
// Run with -rewrite to write down what the machines do now, and commit only what you understand.
var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata")

// epoch is what the transcripts call 0s: machines need times above zero.
const epoch = time.Hour

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
	m   Machine
	now time.Duration
	cfg Timers
}

// replay runs the commands of a transcript and returns it with the effects they have.
func replay(t *testing.T, text string) string {
	r := runner{now: epoch, cfg: DefaultTimers()}
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
		effects, err := r.run(lines[len(lines)-1]) // what comes before are comments
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		fmt.Fprintf(&out, "\n%s\n----\n%s\n", command, strings.Join(effects, "\n"))
	}
	return out.String()
}

func (r *runner) run(command string) ([]string, error) {
	word := strings.Fields(command)
	arg := func(i int) string {
		if i < len(word) {
			return word[i]
		}
		return ""
	}
	switch word[0] {
	case "client", "server":
		invite, reliable := arg(1) == "INVITE", arg(2) == "tcp"
		r.now = epoch
		if word[0] == "client" {
			r.m = Client(invite, reliable)
		} else {
			r.m = Server(invite, reliable)
		}
		return []string{"ok"}, nil
	case "run":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			return nil, err
		}
		return r.pass(d), nil
	}
	events := map[string]Event{"start": Start, "request": Request, "ack": Ack, "respond": Respond, "response": Response,
		"cancelled": Cancelled, "tick": Tick, "transport-error": TransportError}
	ev, ok := events[word[0]]
	if !ok {
		return nil, fmt.Errorf("unknown command")
	}
	code, _ := strconv.Atoi(arg(1))
	return []string{r.step(Input{Event: ev, Code: code})}, nil
}

// pass lets time pass and ticks whenever the machine wants it.
func (r *runner) pass(d time.Duration) []string {
	var out []string
	for end := r.now + d; ; {
		at := r.m.WakeAt()
		if at == 0 || at > end {
			r.now = end
			break
		}
		r.now = at
		out = append(out, r.step(Input{Event: Tick}))
	}
	if out == nil {
		out = []string{"nothing"}
	}
	return out
}

var (
	stateNames   = [...]string{"Initial", "Calling", "Trying", "Proceeding", "Completed", "Confirmed", "Accepted", "Terminated"}
	sendNames    = [...]string{"", "send request", "send ACK", "send response", "send again", "send 100"}
	deliverNames = [...]string{"", "deliver request", "deliver response", "deliver ACK", "deliver timeout", "deliver transport error"}
)

func (r *runner) step(in Input) string {
	e := r.m.Step(r.now, in, &r.cfg)
	s := fmt.Sprintf("%v %s", r.now-epoch, stateNames[r.m.State()])
	for _, what := range []string{sendNames[e.Send], deliverNames[e.Deliver]} {
		if what != "" {
			s += ", " + what
		}
	}
	if e.WakeAt != 0 {
		s += fmt.Sprintf(", wake at %v", e.WakeAt-epoch)
	}
	if e.Done {
		s += ", done"
	}
	return s
}

// TestStepIsSafeForAnyInput feeds every event in every reachable state and checks what all machines have in
// common: nothing after the end, no timer in the past, a final state is never left for an earlier one.
func TestStepIsSafeForAnyInput(t *testing.T) {
	cfg := DefaultTimers()
	inputs := []Input{{Event: Start}, {Event: Request}, {Event: Ack}, {Event: Respond, Code: 100}, {Event: Respond, Code: 180},
		{Event: Respond, Code: 200}, {Event: Respond, Code: 486}, {Event: Response, Code: 100}, {Event: Response, Code: 183},
		{Event: Response, Code: 200}, {Event: Response, Code: 503}, {Event: Cancelled}, {Event: Tick}, {Event: TransportError}}
	var walk func(m Machine, now time.Duration, depth int)
	walk = func(m Machine, now time.Duration, depth int) {
		if depth == 0 {
			return
		}
		for _, in := range inputs {
			for _, pass := range []time.Duration{0, 40 * time.Second} {
				next, at := m, now+pass
				e := next.Step(at, in, &cfg)
				if e.Done != (next.State() == Terminated) || e.Done && e.WakeAt != 0 {
					t.Fatalf("%+v after %+v: effects %+v", next, in, e)
				}
				if next.State() < m.State() && m.Answered() {
					t.Fatalf("%+v went back to %+v on %+v", m, next, in)
				}
				if m.State() == Terminated && (e.Send != SendNothing || e.Deliver != DeliverNothing) {
					t.Fatalf("%+v does %+v after its end", m, e)
				}
				if next != m || pass > 0 {
					walk(next, at, depth-1)
				}
			}
		}
	}
	for _, invite := range []bool{true, false} {
		for _, reliable := range []bool{true, false} {
			walk(Client(invite, reliable), epoch, 4)
			walk(Server(invite, reliable), epoch, 4)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	cfg := DefaultTimers()
	if n := testing.AllocsPerRun(100, func() {
		m := Server(true, false)
		m.Step(epoch, Input{Event: Start}, &cfg)
		m.Step(epoch, Input{Event: Respond, Code: 180}, &cfg)
		m.Step(epoch, Input{Event: Respond, Code: 200}, &cfg)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkStep(b *testing.B) {
	cfg := DefaultTimers()
	b.ReportAllocs()
	for b.Loop() {
		m := Client(true, false)
		m.Step(epoch, Input{Event: Start}, &cfg)
		m.Step(epoch, Input{Event: Response, Code: 180}, &cfg)
		m.Step(epoch, Input{Event: Response, Code: 200}, &cfg)
	}
}
