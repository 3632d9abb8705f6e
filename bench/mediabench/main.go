// Mediabench measures what it costs to carry a packet of audio: relayed as it is, and converted between PCMU and Opus,
// by Parley's media engine and by rtpengine in user space beside it, under the same load in the same run.
//
// A run of relayed calls counts only when every packet arrived. Each figure is the least of several runs: on a machine
// that does other things as well, noise only adds. It is built with the tag "opus".
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are what the command line says.
type settings struct {
	subjects, kinds []string
	seconds, warm   int
	runs            int
	results         string
	profile         string
}

// kind is a load.
type kind struct {
	name, label string
	calls       int
	one, other  string // codecs of both ends
	back        bool   // both speak
}

var kinds = []kind{
	{"relay-light", "relay, 10 calls: 1,000 packets a second", 10, pcmu, pcmu, true},
	{"relay-busy", "relay, 200 calls: 20,000 packets a second", 200, pcmu, pcmu, true},
	{"to-opus", "PCMU to Opus, 20 calls that speak one way", 20, pcmu, opusName, false},
	{"from-opus", "Opus to PCMU, 20 calls that speak one way", 20, opusName, pcmu, false},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "mediabench serve:", err)
			os.Exit(1)
		}
		return
	}
	var s settings
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	subs := flag.String("subjects", "rtpengine,parley", "what is measured, separated by commas")
	which := flag.String("kinds", strings.Join(names, ","), "kinds of load, separated by commas")
	flag.IntVar(&s.seconds, "seconds", 6, "length of a run")
	flag.IntVar(&s.warm, "warm", 2, "seconds of the same load before")
	flag.IntVar(&s.runs, "runs", 2, "runs of each kind; the cheapest one counts")
	flag.StringVar(&s.results, "results", "", "folder where the table is also written; empty: nowhere")
	flag.StringVar(&s.profile, "profile", "", "folder for a CPU profile of each run of parley")
	flag.Parse()
	s.subjects, s.kinds = strings.Split(*subs, ","), strings.Split(*which, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mediabench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	var subs []*subject
	for _, name := range s.subjects {
		sub, err := newSubject(name)
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	t := &table{s: s, begun: time.Now()}
	for _, k := range kinds {
		if !slices.Contains(s.kinds, k.name) {
			continue
		}
		for range s.runs { // the subjects take turns, so that a slow minute does not hit one of them alone
			for _, sub := range subs {
				var r result
				var err error
				for try := range 3 { // other work on the machine may spoil a run
					if r, err = measure(ctx, s, sub, k); err == nil {
						break
					}
					fmt.Fprintf(os.Stderr, "%s %s, try %d: %v\n", sub.name, k.name, try+1, err)
					if ctx.Err() != nil {
						return ctx.Err()
					}
				}
				if err != nil {
					t.failed = append(t.failed, fmt.Sprintf("%s, %s: %v", sub.name, k.label, err))
					continue
				}
				t.rows = append(t.rows, r)
				fmt.Fprintf(os.Stderr, "%-12s %-12s %6.1f us\n", sub.name, k.name, r.cpu)
			}
		}
	}
	t.subjects = subs
	out := t.markdown()
	fmt.Print(out)
	if s.results == "" {
		return nil
	}
	file := filepath.Join(s.results, "media-"+t.begun.UTC().Format("2006-01-02")+".md")
	return os.WriteFile(file, []byte(out), 0o644)
}
