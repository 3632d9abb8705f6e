// Command turnbench measures what a relayed packet costs Parley's media relay and coturn, in the same run on the same machine:
// clients with a channel each send packets of telephony to a peer behind the relay, which sends them back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"parley/test/procstat"
	"parley/test/server"
)

type settings struct {
	results  string
	seconds  int
	runs     int
	size     int
	subjects string
	loads    []load
}

// load is how much is relayed: so many clients, each with a packet every interval, both ways.
type load struct {
	name     string
	clients  int
	interval time.Duration
}

func main() {
	s := settings{loads: []load{
		{"light: 20 calls", 20, 20 * time.Millisecond},
		{"busy: 200 calls", 200, 20 * time.Millisecond},
	}}
	flag.StringVar(&s.results, "results", "", "folder for the report; empty prints it only")
	flag.IntVar(&s.seconds, "seconds", 6, "how long each run measures")
	flag.IntVar(&s.runs, "runs", 3, "runs of each, of which the cheapest counts")
	flag.IntVar(&s.size, "size", 172, "octets of a packet: 20 ms of G.711 with its header")
	flag.StringVar(&s.subjects, "subjects", "coturn,parley", "what to measure")
	flag.IntVar(&threads, "threads", 0, "threads of Parley's relay; 0 is its default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	defer server.CleanUp()
	if err := run(ctx, &s); err != nil {
		fmt.Fprintln(os.Stderr, "turnbench:", err)
		stop()
		server.CleanUp()
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	begun := time.Now()
	var subjects []*subject
	for name := range strings.SplitSeq(s.subjects, ",") {
		sub, err := newSubject(ctx, name)
		if err != nil {
			return err
		}
		subjects = append(subjects, sub)
	}
	var rows []result
	var failed error
	for n := range s.runs {
		for _, l := range s.loads {
			for _, sub := range subjects { // in turn, so that a busy moment meets both
				r, err := measure(ctx, s, sub, l)
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("%s, %s: %w", sub.name, l.name, err))
					continue
				}
				fmt.Fprintf(os.Stderr, "run %d, %s, %s: %.1f us a packet, %d of %d packets\n", n+1, l.name, sub.name, r.cpu, r.got, r.sent)
				rows = append(rows, r)
			}
		}
	}
	text := report(s, subjects, rows, failed, begun)
	fmt.Print(text)
	if s.results == "" || len(rows) == 0 {
		return failed
	}
	name := filepath.Join(s.results, "turn-"+begun.UTC().Format("2006-01-02-1504")+".md")
	return errors.Join(failed, os.WriteFile(name, []byte(text), 0o644))
}

// report renders everything measured, and how.
func report(s *settings, subjects []*subject, rows []result, failed error, begun time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Media relay benchmark, %s\n\n- Machine: %s\n", begun.UTC().Format("2006-01-02 15:04 UTC"), procstat.Machine())
	for _, sub := range subjects {
		fmt.Fprintf(&b, "- %s: %s; %s\n", sub.name, sub.version, sub.command)
	}
	fmt.Fprintf(&b, "- Command: `%s`\n", strings.Join(append([]string{"go run ./bench/turnbench"}, os.Args[1:]...), " "))
	fmt.Fprintf(&b, `- Clients and peer are one program on the same machine. A client sends a packet of %d octets every 20 ms over a channel of its
  allocation (UDP, ChannelData); the peer sends it back, so each is relayed twice.
- CPU is user and system time of the subject's process divided by the packets it relayed, counted one way: the least of %d runs
  of %d s, in brackets the dearest.

| | | CPU, us a packet | round trip p50, us | p99, us | lost |
|---|---|---|---|---|---|
`, s.size, s.runs, s.seconds)
	for _, l := range s.loads {
		for _, sub := range subjects {
			var best *result
			worst := 0.0
			for i := range rows {
				if r := &rows[i]; r.subject == sub.name && r.load == l.name {
					if best == nil || r.cpu < best.cpu {
						best = r
					}
					worst = max(worst, r.cpu)
				}
			}
			if best != nil {
				fmt.Fprintf(&b, "| %s | %s | %.1f (%.1f) | %s | %s | %d of %d |\n", l.name, sub.name, best.cpu, worst,
					quantile(best.trips, 0.5), quantile(best.trips, 0.99), best.sent-best.got, best.sent)
			}
		}
	}
	if failed != nil {
		fmt.Fprintf(&b, "\nNot measured: %s\n", strings.ReplaceAll(failed.Error(), "\n", "; "))
	}
	return b.String()
}

// quantile of sorted times.
func quantile(d []time.Duration, q float64) string {
	if len(d) == 0 {
		return "-"
	}
	return fmt.Sprint(d[min(int(q*float64(len(d))), len(d)-1)].Microseconds())
}
