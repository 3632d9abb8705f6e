package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"parley/test/procstat"
)

// table collects results.
type table struct {
	s        *settings
	subjects []*subject
	rows     []*result
	failed   []string // what the peer could not do
	begun    time.Time
}

var labels = map[string]string{
	lyncSet:    "Lync protocol, status set by hand: stored, BENOTIFY",
	lyncActive: "Lync protocol, machine active or idle: in memory, BENOTIFY",
	standard:   "standard clients: PUBLISH, NOTIFY and its answer",
}

// markdown renders everything measured, and how.
func (t *table) markdown() string {
	var b strings.Builder
	s := t.s
	fmt.Fprintf(&b, "# Presence benchmark, %s\n\n", t.begun.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "- Machine: %s\n", procstat.Machine())
	for _, sub := range t.subjects {
		fmt.Fprintf(&b, "- %s: %s; %s\n", sub.name, sub.version, sub.command)
	}
	fmt.Fprintf(&b, "- Generator: on the same machine; %s\n", runtime.Version())
	fmt.Fprintf(&b, "- Command: `%s`\n", strings.Join(append([]string{"go run ./bench/presencebench"}, os.Args[1:]...), " "))
	fmt.Fprintf(&b, "- %d users signed in over TLS, each with %d contacts whom he watches, so %d watched people and %d watchers of each.\n"+
		"- %d publications a second for %d s, %d notifications a second to watchers. Every notification arrived, none twice.\n"+
		"- CPU is user and system time of the server's processes divided by the notifications to watchers; reading, storing and\n"+
		"  answering the publication and telling the publisher's own endpoint are in it. Least of %d runs, in brackets the dearest.\n"+
		"- Delay is from sending the publication to reading the notification, of the cheapest run; memory is growth of PSS,\n"+
		"  which says nothing of a server that takes its memory at the start.\n\n",
		s.users, s.contacts, s.users, s.contacts, s.rate, s.seconds, s.rate*s.contacts, s.runs)
	b.WriteString("| | CPU, us a notification | delay p50, ms | delay p99, ms | longest, ms | answer p99, ms | KiB a user |\n|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		label := labels[r.kind]
		if len(t.subjects) > 1 {
			label = r.subject + ", " + label
		}
		memory := "-"
		if r.memory > 1 {
			memory = fmt.Sprintf("%.0f", r.memory)
		}
		fmt.Fprintf(&b, "| %s | %.1f (%.1f) | %s | %s | %s | %s | %s |\n", label, micros(slices.Min(r.cpu)), micros(slices.Max(r.cpu)),
			millis(quantile(r.delays, 0.5)), millis(quantile(r.delays, 0.99)), millis(quantile(r.delays, 1)), millis(quantile(r.answers, 0.99)), memory)
	}
	for _, f := range t.failed {
		fmt.Fprintf(&b, "\nNot measured: %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	return b.String()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
