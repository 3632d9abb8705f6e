package registrar

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/flow"
	"parley/internal/sip"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata/*.txt")

// A transcript is blocks of commands, a line of dashes, and what came of them.
// Commands are "at SECONDS" and "REGISTER key=value..." followed by header
// fields. Lines that begin with # are remarks.
func TestTranscripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no transcripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := player{flows: map[string]*flow.Flow{}}
			var out strings.Builder
			for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				commands, _, _ := strings.Cut(block, "\n----")
				if !strings.Contains(block, "\n----") {
					out.WriteString(block + "\n\n")
					continue
				}
				fmt.Fprintf(&out, "%s\n----\n%s\n", commands, p.play(t, commands))
			}
			got := strings.TrimSpace(out.String()) + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("transcript differs; got:\n%s", got)
			}
		})
	}
}

type player struct {
	now   binding.Time
	set   []*binding.Binding
	gen   uint64
	flows map[string]*flow.Flow
	rules *Rules
}

func (p *player) play(t *testing.T, commands string) string {
	t.Helper()
	lines := strings.Split(commands, "\n")
	var out strings.Builder
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "#":
		case "at":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			p.now = binding.Time(d / time.Millisecond)
		case "endpoints":
			r := DefaultRules
			fmt.Sscan(rest, &r.Endpoints)
			p.rules = &r
		case "REGISTER":
			n := 0
			for n < len(lines) && strings.Contains(lines[n], ": ") {
				n++
			}
			out.WriteString(p.register(t, rest, lines[:n]))
			lines = lines[n:]
		default:
			t.Fatalf("unknown command %q", line)
		}
	}
	return out.String()
}

func (p *player) register(t *testing.T, args string, headers []string) string {
	t.Helper()
	arg := map[string]string{"call": "c", "cseq": "1", "flow": "1", "via": "1"}
	for _, a := range strings.Fields(args) {
		k, v, _ := strings.Cut(a, "=")
		arg[k] = v
	}
	var vias strings.Builder
	for i := range int(arg["via"][0] - '0') {
		fmt.Fprintf(&vias, "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK%d\r\n", i)
	}
	raw := "REGISTER sip:example.test SIP/2.0\r\n" + vias.String() +
		"From: <sip:alice@example.test>;tag=1\r\nTo: <sip:alice@example.test>\r\nCall-ID: " + arg["call"] +
		"\r\nCSeq: " + arg["cseq"] + " REGISTER\r\n" + strings.Join(append(slices.Clone(headers), ""), "\r\n") + "Content-Length: 0\r\n\r\n"
	var m sip.Message
	if err := m.Parse([]byte(raw), nil); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if p.flows[arg["flow"]] == nil {
		p.flows[arg["flow"]] = new(flow.Flow)
	}
	var s scratch
	req, refusal := s.read(&m, "alice@example.test", p.flows[arg["flow"]])
	rules := DefaultRules
	if p.rules != nil {
		rules = *p.rules
	}
	res := Result{Set: p.set, Err: refusal}
	if refusal == nil {
		before := fmt.Sprint(dump(p.set))
		res = Step(p.now, p.set, req, rules, func() uint64 { p.gen++; return p.gen })
		if fmt.Sprint(dump(p.set)) != before {
			t.Error("Step wrote to the set it was given")
		}
	}
	p.set = res.Set
	var out strings.Builder
	if e := res.Err; e != nil {
		fmt.Fprintf(&out, "%s", e.Error())
		for _, h := range e.Headers {
			fmt.Fprintf(&out, " [%s: %s]", h.Name, h.Value)
		}
		out.WriteString("\n")
	} else {
		out.WriteString("200 OK\n")
	}
	for _, b := range res.Evicted {
		fmt.Fprintf(&out, "  evicted %s\n", b.Contact)
	}
	for _, b := range res.Set {
		fmt.Fprintf(&out, "  %s", b.Contact)
		if b.Params != "" {
			fmt.Fprintf(&out, " %s", b.Params)
		}
		if b.RegID > 0 {
			fmt.Fprintf(&out, " reg=%d", b.RegID)
		}
		if b.Q != 1000 {
			fmt.Fprintf(&out, " q=%d", b.Q)
		}
		if b.Path != "" {
			fmt.Fprintf(&out, " path=%s", b.Path)
		}
		for name, f := range p.flows {
			if f == b.Flow {
				fmt.Fprintf(&out, " flow=%s", name)
			}
		}
		fmt.Fprintf(&out, " gen=%d for=%ds\n", b.Gen, (b.Expires-p.now)/1000)
	}
	return out.String()
}

func dump(set []*binding.Binding) (all []binding.Binding) {
	for _, b := range set {
		all = append(all, *b)
	}
	return all
}
