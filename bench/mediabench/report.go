package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"parley/internal/media/opus"
	"parley/test/procstat"
)

// table collects results.
type table struct {
	s        *settings
	subjects []*subject
	rows     []result
	failed   []string
	begun    time.Time
}

// markdown renders everything measured, and how.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Media benchmark, %s\n\n", t.begun.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "- Machine: %s\n", procstat.Machine())
	for _, sub := range t.subjects {
		fmt.Fprintf(&b, "- %s: %s; %s\n", sub.name, sub.version, sub.command)
	}
	fmt.Fprintf(&b, "- Generator: on the same machine, %s; Opus by %s\n", runtime.Version(), opus.Version())
	fmt.Fprintf(&b, "- Command: `%s`\n", strings.Join(append([]string{"go run -tags opus ./bench/mediabench"}, os.Args[1:]...), " "))
	fmt.Fprintf(&b, "- Packets of 20 ms, spread over the 20 ms; plain RTP on the loopback interface. Of relayed calls every packet arrived.\n"+
		"- CPU is user and system time of the subject's process divided by the packets that arrived; the least of %d runs of %d s,\n"+
		"  in brackets the dearest. Delay is from sending a packet to having read it, of the cheapest run.\n\n", t.s.runs, t.s.seconds)
	b.WriteString("| | | CPU, us a packet | delay p50, us | delay p99, us |\n|---|---|---|---|---|\n")
	for _, k := range kinds {
		for _, sub := range t.subjects {
			var best *result
			worst := 0.0
			for i := range t.rows {
				if r := &t.rows[i]; r.subject == sub.name && r.kind == k.name {
					if best == nil || r.cpu < best.cpu {
						best = r
					}
					worst = max(worst, r.cpu)
				}
			}
			if best != nil {
				fmt.Fprintf(&b, "| %s | %s | %.1f (%.1f) | %s | %s |\n", k.label, sub.name, best.cpu, worst, quantile(best.delays, 0.5), quantile(best.delays, 0.99))
			}
		}
	}
	for _, f := range t.failed {
		fmt.Fprintf(&b, "\nNot measured: %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	return b.String()
}

// quantile of sorted delays.
func quantile(d []time.Duration, q float64) string {
	if len(d) == 0 {
		return "-"
	}
	return fmt.Sprint(d[min(int(q*float64(len(d))), len(d)-1)].Microseconds())
}
