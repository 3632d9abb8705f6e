package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/config"
	"parley/internal/plan"
	"parley/internal/plan/render/table"
	"parley/internal/topology"
)

// mediaPorts are the ranges of the conferencing configuration, by the name that flags and the topology give them.
var mediaPorts = []struct {
	key, what string
	get       func(*topology.Media) *topology.PortRange
}{
	{"audio", "audio of servers", func(m *topology.Media) *topology.PortRange { return &m.Audio }},
	{"video", "video of servers", func(m *topology.Media) *topology.PortRange { return &m.Video }},
	{"application-sharing", "application sharing of servers", func(m *topology.Media) *topology.PortRange { return &m.AppSharing }},
	{"client-sip", "SIP of clients", func(m *topology.Media) *topology.PortRange { return &m.ClientSIP }},
	{"client-media", "media of clients that do not tell them apart", func(m *topology.Media) *topology.PortRange { return &m.ClientMedia }},
	{"client-audio", "audio of clients, at least 20", func(m *topology.Media) *topology.PortRange { return &m.ClientAudio }},
	{"client-video", "video of clients, at least 20", func(m *topology.Media) *topology.PortRange { return &m.ClientVideo }},
	{"client-application-sharing", "application sharing of clients", func(m *topology.Media) *topology.PortRange { return &m.ClientAppSharing }},
	{"client-file-transfer", "file transfer of clients", func(m *topology.Media) *topology.PortRange { return &m.ClientFile }},
}

func configConferencingCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conferencing",
		Short: "Media ports of servers and clients",
		Long: `Media ports of servers and clients. They are part of the topology: the plan prints
rules for them, and clients learn them when they sign in.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(conferencingShowCommand(), conferencingSetCommand())
	return cmd
}

func conferencingShowCommand() *cobra.Command {
	var site string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the media ports, defaults included",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := readTopology(cmd, nil)
			if err != nil {
				return err
			}
			at, err := siteNamed(s, site)
			if err != nil {
				return err
			}
			m := s.MediaAt(at)
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(tw, "client-ranges\t%v\tclients keep to their ranges\n", m.ClientRangesOn())
			for _, p := range mediaPorts {
				fmt.Fprintf(tw, "%s\t%s\t%s\n", p.key, *p.get(&m), p.what)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "as it applies to a site")
	return cmd
}

// siteNamed is a site, or nil for the whole deployment when no name is given.
func siteNamed(s *topology.Snapshot, name string) (*topology.Site, error) {
	if name == "" {
		return nil, nil
	}
	site, ok := s.Site(name)
	if !ok {
		return nil, fmt.Errorf("the topology has no site %s", name)
	}
	return site, nil
}

func conferencingSetCommand() *cobra.Command {
	var site, file string
	var dry bool
	ranges := make([]string, len(mediaPorts))
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Change media ports; a running server takes them up",
		Long: `Change media ports. A range is START:COUNT. Clients keep to their ranges only while
--client-ranges is on, and take a change up when they sign in again.

What changes in the firewall rules is printed. For one site, the topology is written
anew, without its comments.`,
		Example: `  parley config conferencing set --client-ranges --client-audio 50020:20 --client-video 58000:20
  parley config conferencing set --site harbour --client-audio 50100:40`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var args []string
			if file != "" {
				args = []string{file}
			}
			before, err := readTopology(cmd, args)
			if err != nil {
				return err
			}
			text, err := changedMedia(cmd, before, site, ranges)
			if err != nil {
				return err
			}
			return changeTopology(cmd, before, text, file, "media ports", dry)
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "for one site only")
	cmd.Flags().StringVar(&file, "topology", "", "change this file instead, and print it")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print what would change")
	cmd.Flags().Bool("client-ranges", false, "clients keep to their ranges")
	for i, p := range mediaPorts {
		cmd.Flags().StringVar(&ranges[i], p.key, "", p.what+", as START:COUNT")
	}
	return cmd
}

// changeTopology checks a changed topology, prints what changes in the plan, and puts it in force, or prints it when it
// was made from a file.
func changeTopology(cmd *cobra.Command, before *topology.Snapshot, text []byte, file, note string, dry bool) error {
	after, err := topology.Parse(topology.FileName, text)
	if err != nil {
		return fmt.Errorf("not changed: %w", err)
	}
	problems := after.Validate()
	printProblems(cmd.ErrOrStderr(), problems)
	if topology.Failed(problems) {
		return exitStatus(1)
	}
	if file != "" && !dry {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	d, err := plan.Diff(plan.Resolve(before), plan.Resolve(after))
	if err != nil {
		return err
	}
	if len(d.Rows) > 0 {
		if err := table.Render(cmd.OutOrStdout(), d); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout())
	}
	if file != "" {
		return nil
	}
	return applyTopology(cmd, text, note, 0, dry)
}

// copyTopology is the document of a snapshot, free to be changed.
func copyTopology(s *topology.Snapshot) (*topology.Topology, error) {
	copied, err := topology.Parse(topology.FileName, topology.Format(s.Topology()))
	if err != nil {
		return nil, err
	}
	return copied.Topology(), nil
}

// changedMedia is the text of a topology with other media ports.
func changedMedia(cmd *cobra.Command, s *topology.Snapshot, site string, ranges []string) ([]byte, error) {
	type change struct{ key, literal string }
	var changes []change
	var media topology.Media
	if cmd.Flags().Changed("client-ranges") {
		on, _ := cmd.Flags().GetBool("client-ranges")
		media.ClientRanges = &on
		changes = append(changes, change{"client-ranges", strconv.FormatBool(on)})
	}
	for i, p := range mediaPorts {
		if ranges[i] == "" {
			continue
		}
		r, err := parseRange(ranges[i])
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", p.key, err)
		}
		*p.get(&media) = r
		changes = append(changes, change{p.key, fmt.Sprintf("{ start = %d, count = %d }", r.Start, r.Count)})
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("nothing to change: give --client-ranges or a range")
	}
	if site == "" {
		text := s.Text()
		for _, c := range changes {
			var err error
			if text, err = config.Set(text, "media", c.key, c.literal); err != nil {
				return nil, err
			}
		}
		// A topology that was written anew has a table for each range, which lines cannot be put beside.
		if _, err := topology.Parse(topology.FileName, text); err == nil {
			return text, nil
		}
	}
	if _, err := siteNamed(s, site); err != nil {
		return nil, err
	}
	t, err := copyTopology(s)
	if err != nil {
		return nil, err
	}
	m := &t.Media
	for i := range t.Sites {
		if t.Sites[i].Name == site {
			m = &t.Sites[i].Media
		}
	}
	if media.ClientRanges != nil {
		m.ClientRanges = media.ClientRanges
	}
	for _, p := range mediaPorts {
		if r := *p.get(&media); !r.IsZero() {
			*p.get(m) = r
		}
	}
	return topology.Format(t), nil
}

// parseRange reads START:COUNT.
func parseRange(s string) (topology.PortRange, error) {
	start, count, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseUint(start, 10, 16)
	n, err2 := strconv.ParseUint(count, 10, 16)
	if !ok || err1 != nil || err2 != nil || a == 0 || n == 0 || a+n > 65536 {
		return topology.PortRange{}, fmt.Errorf("%q: want START:COUNT within 1 to 65535, such as 50020:20", s)
	}
	return topology.PortRange{Start: uint16(a), Count: uint16(n)}, nil
}
