package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"parley/internal/plan"
	"parley/internal/topology"
)

// wishFlags are the answers of the interview, as text.
type wishFlags struct {
	name, site                string
	domains, features         []string
	users, remote             int
	available, nat            bool
	inside, perimeter, public string
	branches                  []string
}

// bundles are sets of features that people ask for by one word.
var bundles = []struct {
	name, question string
	features       topology.Features
	usual          bool
}{
	{"meetings", "Meetings with audio, video and shared screens?", topology.Features{topology.Conferencing, topology.AudioVideo, topology.AppSharing}, true},
	{"telephone", "Calls to and from the telephone network?", topology.Features{topology.Voice, topology.CallPark, topology.ResponseGroup, topology.Announcement}, true},
	{"dial-in-meetings", "Joining meetings by telephone?", topology.Features{topology.Conferencing, topology.Voice, topology.DialIn}, true},
	{"rooms", "Chat rooms that last?", topology.Features{topology.Chat}, false},
	{"desk-phones", "Desk phones?", topology.Features{topology.Phones}, false},
	{"outside", "Own users outside, and mobile clients?", topology.Features{topology.RemoteAccess, topology.Mobility}, true},
	{"guests", "Guests without an account in meetings?", topology.Features{topology.Conferencing, topology.Anonymous}, true},
	{"partners", "Other organisations?", topology.Features{topology.FederationAccess}, true},
	{"records", "Records of calls and their quality?", topology.Features{topology.Monitor}, true},
}

func topologyNewCommand() *cobra.Command {
	var f wishFlags
	var out string
	var ask bool
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Design a topology from the number of people and what they want to do",
		Long: `Design a topology: flags say who and how many, or an interview asks for it. Pools,
Edges, Mediation servers and branches are sized by the planning figures; names and
addresses are proposals to be adapted.

On a terminal without --domain the interview begins; --interview begins it anyway,
with the flags as its defaults.`,
		Example: `  parley topology new
  parley topology new --domain example.test --users 3000 --feature meetings,telephone,outside --out plan.toml
  parley topology new --domain example.test --users 200 --branch harbour:40:10.2.0.0/24`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ask || len(f.domains) == 0 && terminal(cmd.InOrStdin()) {
				if err := interview(cmd.InOrStdin(), cmd.ErrOrStderr(), &f, cmd.Flags().Changed("feature")); err != nil {
					return err
				}
			}
			w, err := f.wish()
			if err != nil {
				return err
			}
			t, err := plan.Design(w)
			if err != nil {
				return err
			}
			text := topology.Format(t)
			s, err := topology.Parse(first(out, "the design"), text)
			if err != nil {
				return err
			}
			problems := s.Validate()
			printProblems(cmd.ErrOrStderr(), problems)
			if topology.Failed(problems) {
				return exitStatus(1)
			}
			if out == "" {
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			_, err = file.Write(text)
			return errors.Join(err, file.Close())
		},
	}
	var names []string
	for _, b := range bundles {
		names = append(names, b.name)
	}
	cmd.Flags().StringVar(&f.name, "name", "", "name of the organisation (default: the domain)")
	cmd.Flags().StringSliceVar(&f.domains, "domain", nil, "SIP domain; the first is where servers get their names")
	cmd.Flags().StringVar(&f.site, "site", "main", "name of the central site")
	cmd.Flags().IntVar(&f.users, "users", 0, "how many people have an account at the central site")
	cmd.Flags().IntVar(&f.remote, "remote-users", 0, "how many of them are outside at once (default: a quarter)")
	cmd.Flags().StringSliceVar(&f.features, "feature", nil, "what is wanted: "+strings.Join(names, ", ")+", or a feature of the topology; default: the usual ones")
	cmd.Flags().BoolVar(&f.available, "available", false, "go on when any one server is lost")
	cmd.Flags().BoolVar(&f.nat, "nat", false, "Edges have private addresses behind address translation")
	cmd.Flags().StringVar(&f.inside, "inside", "10.1.0.0/16", "network inside")
	cmd.Flags().StringVar(&f.perimeter, "perimeter", "172.16.1.0/24", "network between the firewalls")
	cmd.Flags().StringVar(&f.public, "public", "198.51.100.0/26", "addresses as seen from outside")
	cmd.Flags().StringArrayVar(&f.branches, "branch", nil, "branch office, as NAME:USERS:NETWORK")
	cmd.Flags().StringVar(&out, "out", "", "file to write (default: standard output)")
	cmd.Flags().BoolVar(&ask, "interview", false, "ask on standard input")
	return cmd
}

// terminal reports whether somebody can answer questions.
func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// wish reads the answers.
func (f *wishFlags) wish() (plan.Wish, error) {
	w := plan.Wish{Name: f.name, Site: f.site, Users: f.users, RemoteUsers: f.remote, Available: f.available, Translated: f.nat}
	for _, d := range f.domains {
		n, err := topology.ParseFQDN(d)
		if err != nil {
			return w, err
		}
		w.Domains = append(w.Domains, n)
	}
	if len(w.Domains) > 0 && w.Name == "" {
		w.Name = string(w.Domains[0])
	}
	chosen := f.features
	if chosen == nil {
		for _, b := range bundles {
			if b.usual {
				chosen = append(chosen, b.name)
			}
		}
	}
	for _, name := range chosen {
		more, err := featuresOf(name)
		if err != nil {
			return w, err
		}
		for _, m := range more {
			if !w.Features.Has(m) {
				w.Features = append(w.Features, m)
			}
		}
	}
	if w.RemoteUsers == 0 && w.Features.Has(topology.RemoteAccess) {
		w.RemoteUsers = (w.Users + 3) / 4
	}
	for _, n := range []struct {
		flag, text string
		into       *netip.Prefix
	}{{"--inside", f.inside, &w.Inside}, {"--perimeter", f.perimeter, &w.Perimeter}, {"--public", f.public, &w.Public}} {
		p, err := netip.ParsePrefix(n.text)
		if err != nil {
			return w, fmt.Errorf("%s %q: want a network such as 10.1.0.0/16", n.flag, n.text)
		}
		*n.into = p.Masked()
	}
	for _, text := range f.branches {
		name, rest, _ := strings.Cut(text, ":")
		users, network, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(users)
		p, err2 := netip.ParsePrefix(network)
		if !ok || name == "" || err != nil || n < 0 || err2 != nil {
			return w, fmt.Errorf("--branch %q: want NAME:USERS:NETWORK, such as harbour:40:10.2.0.0/24", text)
		}
		w.Branches = append(w.Branches, plan.BranchWish{Name: name, Users: n, Network: p.Masked()})
	}
	return w, nil
}

// featuresOf is what a word of --feature stands for.
func featuresOf(name string) (topology.Features, error) {
	var words []string
	for _, b := range bundles {
		if b.name == name {
			return b.features, nil
		}
		words = append(words, b.name)
	}
	var one topology.Feature
	if err := one.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("--feature: %w; words for several are %s", err, strings.Join(words, ", "))
	}
	return topology.Features{one}, nil
}

// interview asks for what matters, with the flags as answers to an empty line.
func interview(in io.Reader, out io.Writer, f *wishFlags, chosen bool) error {
	lines := bufio.NewScanner(in)
	ask := func(question, usual string) (string, error) {
		fmt.Fprintf(out, "%s ", question)
		if usual != "" {
			fmt.Fprintf(out, "[%s] ", usual)
		}
		if !lines.Scan() {
			return "", first2(lines.Err(), errors.New("the interview ended early"))
		}
		return first(strings.TrimSpace(lines.Text()), usual), nil
	}
	var failed error
	text := func(question, usual string) string {
		if failed != nil {
			return usual
		}
		var answer string
		answer, failed = ask(question, usual)
		return answer
	}
	number := func(question string, usual int) int {
		for failed == nil {
			n, err := strconv.Atoi(text(question, strconv.Itoa(usual)))
			if err == nil && n >= 0 {
				return n
			}
			fmt.Fprintln(out, "A number, please.")
		}
		return usual
	}
	yes := func(question string, usual bool) bool {
		for failed == nil {
			switch strings.ToLower(text(question, map[bool]string{true: "yes", false: "no"}[usual])) {
			case "y", "yes":
				return true
			case "n", "no":
				return false
			}
			fmt.Fprintln(out, "Yes or no, please.")
		}
		return usual
	}
	f.domains = strings.FieldsFunc(text("Which domains do addresses of people have?", strings.Join(f.domains, " ")), func(r rune) bool { return r == ' ' || r == ',' })
	f.site = text("What is the main place called?", f.site)
	f.users = number("How many people have an account there?", f.users)
	words := []string{}
	for _, b := range bundles {
		usual := b.usual
		if chosen {
			usual = slices.Contains(f.features, b.name)
		}
		if yes(b.question, usual) {
			words = append(words, b.name)
		}
	}
	f.features = words
	f.available = yes("Must it go on when a server is lost?", f.available)
	f.inside = text("Which network do servers and clients have?", f.inside)
	if slices.ContainsFunc(words, func(s string) bool { return s == "outside" || s == "guests" || s == "partners" }) {
		if slices.Contains(words, "outside") {
			f.remote = number("How many people are outside at once?", max(f.remote, (f.users+3)/4))
		}
		f.perimeter = text("Which network is between the two firewalls?", f.perimeter)
		f.public = text("Which addresses does the outside see?", f.public)
		f.nat = yes("Are they translated to private ones?", f.nat)
	}
	for failed == nil {
		name := text("A branch office? Its name, or nothing:", "")
		if name == "" {
			break
		}
		n := number("How many people are there?", 50)
		f.branches = append(f.branches, fmt.Sprintf("%s:%d:%s", name, n, text("Which network does it have?", fmt.Sprintf("10.%d.0.0/24", 101+len(f.branches)))))
	}
	return failed
}

func first2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
