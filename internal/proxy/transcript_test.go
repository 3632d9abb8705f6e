package proxy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A transcript in testdata is a list of steps: a command, a line of dashes, and the actions it leads to, until an
// empty line. Its first line cites what it shows. Branches are called a, b, c. Commands:
//
//	fork METHOD [no-cancel] GROUP...   a new request with one branch for each group number, and its start
//	a CODE                             branch a answers
//	a fails CODE                       branch a ends without a response
//	a rings for too long               Timer C
//	cancel                             the caller gives up
//	timeout                            the running group has had its time
//
// Run with -rewrite to write down what the machine does now, and commit only what you understand.
var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata")

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

func replay(t *testing.T, text string) string {
	var m machine
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
		acts, err := run(&m, lines[len(lines)-1])
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		fmt.Fprintf(&out, "\n%s\n----\n%s\n", command, acts)
	}
	return out.String()
}

func run(m *machine, command string) (string, error) {
	w := strings.Fields(command)
	var acts []action
	switch {
	case w[0] == "fork":
		*m = machine{invite: w[1] == "INVITE"}
		for _, g := range w[2:] {
			if g == "no-cancel" {
				m.noCancel = true
				continue
			}
			n, err := strconv.Atoi(g)
			if err != nil {
				return "", err
			}
			m.slots = append(m.slots, slot{group: n})
		}
		acts = m.step(evStart, 0, 0, nil)
	case command == "cancel":
		acts = m.step(evCancel, 0, 0, nil)
	case command == "timeout":
		acts = m.step(evTimeout, 0, m.group, nil)
	case len(w) == 2:
		code, err := strconv.Atoi(w[1])
		if err != nil {
			return "", err
		}
		acts = m.step(evResponse, int(w[0][0]-'a'), code, nil)
	case w[1] == "fails":
		code, err := strconv.Atoi(w[2])
		if err != nil {
			return "", err
		}
		acts = m.step(evFailed, int(w[0][0]-'a'), code, nil)
	case strings.HasSuffix(command, "rings for too long"):
		acts = m.step(evTimerC, int(w[0][0]-'a'), 0, nil)
	default:
		return "", fmt.Errorf("unknown command")
	}
	if len(acts) == 0 {
		return "nothing", nil
	}
	var s []string
	for _, a := range acts {
		s = append(s, describe(a))
	}
	return strings.Join(s, "\n"), nil
}

func describe(a action) string {
	b := "-"
	if a.branch >= 0 {
		b = string(rune('a' + a.branch))
	}
	switch a.kind {
	case actStart:
		return "send to " + b
	case actForward:
		return fmt.Sprintf("pass on %d of %s", a.code, b)
	case actKeep:
		return fmt.Sprintf("keep %d of %s", a.code, b)
	case actCredit:
		return "keep the challenge of " + b
	case actRefresh:
		return "restart timer C of " + b
	case actCancel:
		return fmt.Sprintf("cancel %s because of %d", b, a.code)
	case actTimer:
		return "restart the group's timer"
	case actBest:
		if a.branch < 0 {
			return fmt.Sprintf("answer %d of our own", a.code)
		}
		return fmt.Sprintf("answer %d of %s", a.code, b)
	}
	return "done"
}

// TestEveryOrder plays every order of events for two branches and a caller who may cancel at any time, and checks
// what must hold in each: exactly one final answer except for further 2xx to INVITE, no provisional after it, a
// branch is cancelled at most once and never after its final response, and when all branches have ended the
// caller has an answer.
func TestEveryOrder(t *testing.T) {
	type play struct {
		m       machine
		answers int // finals passed on
		twos    int
		log     []string
	}
	finals := []int{200, 302, 401, 486, 487, 503, 603}
	var walk func(p play, depth int, finalsLeft [2]bool, cancelled bool)
	walk = func(p play, depth int, left [2]bool, cancelled bool) {
		if !left[0] && !left[1] && p.answers+p.twos == 0 {
			t.Fatalf("all branches have ended and the caller has no answer: %v", p.log)
		}
		if depth == 0 {
			return
		}
		try := func(kind eventKind, branch, code int, what string) play {
			q := p
			q.m.slots = append([]slot(nil), p.m.slots...)
			q.log = append(append([]string(nil), p.log...), what)
			for _, a := range q.m.step(kind, branch, code, nil) {
				switch a.kind {
				case actForward:
					if a.code < 200 && q.answers+q.twos > 0 {
						t.Fatalf("provisional after the final answer: %v", q.log)
					}
					if a.code >= 200 && a.code < 300 {
						q.twos++
						if q.answers > 0 {
							t.Logf("2xx after another final answer: %v", q.log)
						}
					}
				case actBest:
					q.answers++
					if q.answers > 1 || q.twos > 0 {
						t.Fatalf("second final answer: %v", q.log)
					}
				case actCancel:
					if s := p.m.slots[a.branch]; s.state == done || s.cancel || a.branch == branch && kind == evResponse {
						t.Fatalf("cancelled in vain: %v", q.log)
					}
				}
			}
			if !q.m.invite && q.twos+q.answers > 1 {
				t.Fatalf("two answers to a request that is no INVITE: %v", q.log)
			}
			return q
		}
		for b := range 2 {
			if !left[b] {
				continue
			}
			name := string(rune('a' + b))
			walk(try(evResponse, b, 180, name+" 180"), depth-1, left, cancelled)
			l := left
			l[b] = false
			for _, code := range finals {
				walk(try(evResponse, b, code, fmt.Sprint(name, " ", code)), depth-1, l, cancelled)
			}
			walk(try(evFailed, b, 408, name+" fails"), depth-1, l, cancelled)
		}
		if !cancelled && p.m.invite {
			walk(try(evCancel, 0, 0, "cancel"), depth-1, left, true)
		}
	}
	for _, invite := range []bool{true, false} {
		p := play{m: machine{invite: invite, slots: make([]slot, 2)}}
		p.m.step(evStart, 0, 0, nil)
		walk(p, 5, [2]bool{true, true}, false)
	}
}
