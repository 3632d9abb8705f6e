// Presencebench measures what telling people about each other costs: on one server process, every user is signed in
// and has the same number of contacts, all of whom he watches; then users publish at a given rate, and it is counted
// what the server's process spends for each notification that arrives, and how late it arrives.
//
// Lync-protocol users sign in over TLS with NTLM and sign every message, keep their contacts on the server, watch
// them in one batched subscription and hear of changes by BENOTIFY. Standard users sign in over TLS with Digest, have
// one subscription for each contact and answer each NOTIFY; Kamailio can do that beside Parley.
//
// A run counts only when every notification arrived exactly once. Each figure is the least of several runs: on a
// machine that does other things as well, noise only adds.
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

	"parley/test/server"
)

// settings are what the command line says.
type settings struct {
	subjects []string
	kinds    []string
	users    int
	contacts int
	rate     int
	seconds  int
	runs     int
	results  string
	profile  string
}

// Kinds of load. The second word is what users publish.
const (
	lyncSet    = "lync-set"    // a status set by hand, which is stored before it is answered
	lyncActive = "lync-active" // what a machine says of itself, kept in memory
	standard   = "standard"    // PIDF documents, kept in memory
)

func main() {
	var s settings
	subjects := flag.String("subjects", "parley", "servers to measure, separated by commas: parley, kamailio (standard users only)")
	kinds := flag.String("kinds", strings.Join([]string{lyncSet, lyncActive, standard}, ","), "kinds of load, separated by commas")
	flag.IntVar(&s.users, "users", 1000, "users who are signed in")
	flag.IntVar(&s.contacts, "contacts", 50, "contacts of each user, whom he watches; so many watchers has everybody")
	flag.IntVar(&s.rate, "rate", 20, "publications a second while it is measured")
	flag.IntVar(&s.seconds, "seconds", 20, "length of a run")
	flag.IntVar(&s.runs, "runs", 3, "runs of each kind; the best one counts")
	flag.StringVar(&s.results, "results", "", "folder where the table is also written; empty: nowhere")
	flag.StringVar(&s.profile, "profile", "", "folder for a CPU profile of each run of Parley")
	flag.Parse()
	s.subjects, s.kinds = strings.Split(*subjects, ","), strings.Split(*kinds, ",")
	if s.users <= s.contacts || s.contacts < 1 || s.rate < 1 {
		fmt.Fprintln(os.Stderr, "presencebench: there must be contacts, fewer than users, and a rate")
		os.Exit(2)
	}

	if s.users < 7*s.rate {
		fmt.Fprintln(os.Stderr, "presencebench: everybody must have seven seconds between his turns: what changes twice in five seconds is told together")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &s)
	stop()
	server.CleanUp()
	if err != nil {
		fmt.Fprintln(os.Stderr, "presencebench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	dir, err := os.MkdirTemp("", "presencebench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := table{s: s, begun: time.Now()}
	for _, name := range s.subjects {
		sub, err := newSubject(ctx, name, s, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		t.subjects = append(t.subjects, sub)
		for _, group := range [][]string{{lyncActive, lyncSet}, {standard}} { // in this order: what is set by hand hides the rest
			kinds := slices.DeleteFunc(slices.Clone(group), func(k string) bool {
				return !slices.Contains(s.kinds, k) || name == "kamailio" && k != standard
			})
			if len(kinds) == 0 {
				continue
			}
			rows, err := measure(ctx, s, sub, kinds)
			if err != nil && name == "kamailio" && ctx.Err() == nil {
				progress("%s: %.300v", sub.name, err)
				t.failed = append(t.failed, fmt.Sprintf("%s, %s: %.120v", sub.name, strings.Join(kinds, " and "), err))
				continue
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, strings.Join(kinds, " and "), err)
			}
			t.rows = append(t.rows, rows...)
		}
	}
	text := t.markdown()
	fmt.Print(text)
	if s.results == "" {
		return nil
	}
	if err := os.MkdirAll(s.results, 0o755); err != nil {
		return err
	}
	file := filepath.Join(s.results, "presence-"+time.Now().UTC().Format("2006-01-02")+".md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	progress("written to %s", file)
	return nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "# "+format+"\n", args...)
}
