// Sipbench measures what SIP work costs a server, Parley beside Kamailio: both are given the same load by the
// same SIPp at the same rate, in turn, and the CPU time of the whole process group is divided by the units
// that ended well. A unit is a REGISTER challenged and accepted, a MESSAGE proxied from one signed-in phone to
// another, or a call of INVITE, 180, 200, ACK, BYE and 200.
//
// Each figure is the least of several runs: on a machine that does other things as well, noise only adds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"parley/test/server"
)

var (
	transports = []string{"udp", "tcp", "tls"}
	kinds      = []string{"register", "message", "call"}
)

// settings are what the command line says.
type settings struct {
	subjects   []string
	transports []string
	kinds      []string
	parts      []string
	runs       int
	seconds    int
	warm       int
	rates      map[string]int
	users      int
	phones     int
	children   int
	results    string
	profiles   string
}

func main() {
	var s settings
	rates := map[string]*int{}
	for kind, rate := range map[string]int{"register": 3000, "message": 3000, "call": 800} {
		rates[kind] = flag.Int("rate-"+kind, rate, "units of "+kind+" a second while CPU is measured")
	}
	list := func(name, value, help string) *string { return flag.String(name, value, help+", separated by commas") }
	subjects := list("subjects", "kamailio,parley", "servers to measure")
	tr := list("transports", "udp,tcp,tls", "transports")
	kd := list("kinds", "register,message,call", "kinds of work")
	parts := list("parts", "cpu,max,memory,ready", "what to measure")
	flag.IntVar(&s.runs, "runs", 3, "runs of each figure; the best one counts")
	flag.IntVar(&s.seconds, "seconds", 5, "length of a run")
	flag.IntVar(&s.warm, "warm", 15, "seconds of the same work before a run counts: memory has to be touched once, and transactions live for seconds")
	flag.IntVar(&s.users, "users", 1000, "users who register in turn")
	flag.IntVar(&s.phones, "phones", 10_000, "phones signed in at once while memory is measured")
	flag.IntVar(&s.children, "children", 2, "Kamailio's worker processes for UDP, and again for TCP and TLS")
	flag.StringVar(&s.results, "results", "", "folder where the table is also written; empty: nowhere")
	flag.StringVar(&s.profiles, "profiles", "", "folder for a CPU profile of Parley of each run that is measured; empty: none are taken")
	flag.Parse()
	s.subjects, s.transports = strings.Split(*subjects, ","), strings.Split(*tr, ",")
	s.kinds, s.parts = strings.Split(*kd, ","), strings.Split(*parts, ",")
	s.rates = map[string]int{}
	for kind, rate := range rates {
		s.rates[kind] = *rate
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &s)
	stop()
	server.CleanUp()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sipbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	dir, err := os.MkdirTemp("", "sipbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := newTable(s)
	var peers []*subject
	for _, name := range s.subjects {
		p, err := newSubject(ctx, name, s, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		peers = append(peers, p)
	}
	for _, part := range s.parts {
		measure, ok := map[string]func(context.Context, *settings, []*subject, *table) error{
			"cpu": measureCPU, "max": measureHighest, "memory": measureMemory, "ready": measureReady,
		}[part]
		if !ok {
			return fmt.Errorf("no part %q", part)
		}
		if err := measure(ctx, s, peers, t); err != nil {
			return err
		}
	}
	text := t.markdown(peers)
	fmt.Print(text)
	if s.results == "" {
		return nil
	}
	if err := os.MkdirAll(s.results, 0o755); err != nil {
		return err
	}
	file := filepath.Join(s.results, time.Now().UTC().Format("2006-01-02")+"-sip.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	progress("written to %s", file)
	return nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "# "+format+"\n", args...)
}
