package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"parley/test/procstat"
)

// table collects figures by row and subject.
type table struct {
	s      *settings
	values map[string]map[string][]float64
	marks  map[string]string // row and subject: what stands before the figure
	begun  time.Time
}

func newTable(s *settings) *table {
	return &table{s: s, values: map[string]map[string][]float64{}, marks: map[string]string{}, begun: time.Now()}
}

// least adds one run of a figure of which the least counts.
func (t *table) least(row, subject string, v float64) {
	if t.values[row] == nil {
		t.values[row] = map[string][]float64{}
	}
	t.values[row][subject] = append(t.values[row][subject], v)
}

// set gives a figure that is measured once. limited marks it as a lower bound.
func (t *table) set(row, subject string, v float64, limited bool) {
	t.least(row, subject, v)
	if limited {
		t.marks[row+subject] = "> "
	}
}

func (t *table) value(row, subject string) (least, most float64, ok bool) {
	vs := t.values[row][subject]
	if len(vs) == 0 {
		return 0, 0, false
	}
	least, most = math.Inf(1), math.Inf(-1)
	for _, v := range vs {
		least, most = min(least, v), max(most, v)
	}
	return least, most, true
}

// markdown renders everything measured, and how.
func (t *table) markdown(subjects []*subject) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# SIP benchmark, %s\n\n", t.begun.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "- Machine: %s\n", procstat.Machine())
	for _, s := range subjects {
		fmt.Fprintf(&b, "- %s: %s; %s\n", s.name, strings.TrimSpace(s.version), s.command)
	}
	fmt.Fprintf(&b, "- Generator: %s, on the same machine; Go %s\n", sippVersion(), runtime.Version())
	fmt.Fprintf(&b, "- Command: `%s`\n", strings.Join(append([]string{"go run ./bench/sipbench"}, os.Args[1:]...), " "))
	fmt.Fprintf(&b, "- Policy on both sides: REGISTER is challenged (digest, MD5, qop=auth) and checked against a stored hash of the\n"+
		"  password. MESSAGE and INVITE on UDP are challenged in the same way; on TCP and TLS they are accepted from the\n"+
		"  connection on which their user is signed in.\n"+
		"- CPU time is user and system time of all processes of the server, least of %d runs of %d s (after %d s) at %d registers, %d messages,\n"+
		"  %d calls a second; no failed unit and no unexpected message in any run. In brackets the dearest run.\n",
		t.s.runs, t.s.seconds, t.s.warm, t.s.rates["register"], t.s.rates["message"], t.s.rates["call"])
	fmt.Fprintf(&b, "- Memory is the growth of PSS for each of %d phones, one connection or socket each, as the phones see it: signed in, idle.\n\n", t.s.phones)

	head, rule := "| |", "|---|"
	for _, s := range subjects {
		head += " " + s.name + " |"
		rule += "---|"
	}
	ratio := len(subjects) == 2
	if ratio {
		head += fmt.Sprintf(" %s / %s |", subjects[1].name, subjects[0].name)
		rule += "---|"
	}
	b.WriteString(head + "\n" + rule + "\n")
	row := func(key, label, format string) {
		if t.values[key] == nil {
			return
		}
		fmt.Fprintf(&b, "| %s |", label)
		for _, s := range subjects {
			least, most, ok := t.value(key, s.name)
			switch {
			case !ok:
				b.WriteString(" - |")
			case least == most:
				fmt.Fprintf(&b, " %s"+format+" |", t.marks[key+s.name], least)
			default:
				fmt.Fprintf(&b, " %s"+format+" ("+format+") |", t.marks[key+s.name], least, most)
			}
		}
		if ratio {
			x, _, okX := t.value(key, subjects[0].name)
			y, _, okY := t.value(key, subjects[1].name)
			if okX && okY && x > 0 {
				fmt.Fprintf(&b, " %.2f |", y/x)
			} else {
				b.WriteString(" - |")
			}
		}
		b.WriteString("\n")
	}
	for _, kind := range kinds {
		for _, transport := range transports {
			row("cpu "+kind+" "+transport, fmt.Sprintf("%s over %s, us of CPU", kind, strings.ToUpper(transport)), "%.1f")
		}
	}
	for _, kind := range kinds {
		row("max "+kind, "highest rate without loss, UDP, "+kind+" a second", "%.0f")
	}
	for _, transport := range transports {
		row("memory "+transport, "KiB a phone on "+strings.ToUpper(transport), "%.1f")
	}
	row("ready", "ms from start to ready", "%.0f")
	return b.String()
}

// sippVersion is SIPp's own word; it ends with status 99 when asked.
func sippVersion() string {
	b, _ := exec.Command("sipp", "-v").CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return strings.Trim(line, ". ")
}
