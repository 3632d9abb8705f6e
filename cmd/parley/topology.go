package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/node"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

func topologyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show, check and change the deployment that this node belongs to",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(topologyShowCommand(), topologyNewCommand(), topologyCheckCommand(), topologyApplyCommand(), topologyExportCommand(), topologyHistoryCommand())
	return cmd
}

// readTopology reads a topology file, standard input for "-", or the topology of the data directory when no
// file is named.
func readTopology(cmd *cobra.Command, args []string) (*topology.Snapshot, error) {
	switch {
	case len(args) == 0:
		st, err := peekTopology(cmd)
		if err != nil {
			return nil, err
		}
		return st.Current(), nil
	case args[0] == "-":
		text, err := io.ReadAll(cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		return topology.Parse("standard input", text)
	}
	return topology.Load(args[0])
}

// peekTopology looks at the topology of the data directory.
func peekTopology(cmd *cobra.Command) (*topology.Store, error) {
	st, err := topology.Peek(dataDir(cmd))
	if errors.Is(err, topology.ErrNone) {
		return nil, fmt.Errorf("%s: %w; make a node with parley init, or name a file", dataDir(cmd), err)
	}
	return st, err
}

func topologyShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print sites, pools, servers and their roles",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := readTopology(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), topologyView(s))
			}
			return printTopology(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// machineView is one line of topology show.
type machineView struct {
	FQDN      topology.FQDN   `json:"fqdn"`
	Roles     []topology.Role `json:"roles"`
	Pool      topology.FQDN   `json:"pool,omitempty"`
	Site      string          `json:"site"`
	Zone      string          `json:"zone,omitempty"`
	Addresses []string        `json:"addresses"`
}

type topologyJSON struct {
	Revision int64              `json:"revision,omitempty"`
	Name     string             `json:"name,omitempty"`
	Domains  []topology.FQDN    `json:"domains"`
	Features []topology.Feature `json:"features"`
	Machines []machineView      `json:"machines"`
}

func topologyView(s *topology.Snapshot) topologyJSON {
	t := s.Topology()
	v := topologyJSON{Revision: s.Revision(), Name: t.Name, Domains: t.Domains, Features: t.Features, Machines: []machineView{}}
	for _, m := range s.Machines() {
		mv := machineView{FQDN: m.FQDN, Roles: m.Roles, Addresses: []string{}}
		if m.Pool != nil {
			mv.Pool = m.Pool.FQDN
		}
		if m.Site != nil {
			mv.Site = m.Site.Name
		}
		if m.Zone != nil {
			mv.Zone = m.Zone.Name
		}
		for _, a := range m.Addresses {
			mv.Addresses = append(mv.Addresses, a.String())
		}
		v.Machines = append(v.Machines, mv)
	}
	return v
}

func printTopology(w io.Writer, s *topology.Snapshot) error {
	v := topologyView(s)
	fmt.Fprintf(w, "%s\n", v.Name)
	if v.Revision > 0 {
		fmt.Fprintf(w, "revision  %d\n", v.Revision)
	}
	fmt.Fprintf(w, "domains   %s\n", join(v.Domains))
	if len(v.Features) > 0 {
		fmt.Fprintf(w, "features  %s\n", join(v.Features))
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SITE\tPOOL\tSERVER\tROLES\tZONE\tADDRESSES")
	for _, m := range v.Machines {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Site, dash(string(m.Pool)), m.FQDN, join(m.Roles), dash(m.Zone), dash(strings.Join(m.Addresses, ", ")))
	}
	return tw.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func topologyCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong or doubtful about a topology",
		Long: `Say what is wrong or doubtful about a topology, with the place in the file.

The exit status is 0 when the topology can be used, warnings or not, and 1 when
it cannot.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			problems, err := checkTopology(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				if problems == nil {
					problems = []topology.Problem{}
				}
				if err := printJSON(cmd.OutOrStdout(), problems); err != nil {
					return err
				}
			} else {
				printProblems(cmd.OutOrStdout(), problems)
			}
			if topology.Failed(problems) {
				return exitStatus(1)
			}
			if !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), "The topology can be used.")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkTopology returns every problem of a file, whether it does not read or makes no sense.
func checkTopology(cmd *cobra.Command, args []string) ([]topology.Problem, error) {
	s, err := readTopology(cmd, args)
	if err != nil {
		if problems, ok := documentErrors(err); ok {
			return problems, nil
		}
		return nil, err
	}
	return s.Validate(), nil
}

func topologyApplyCommand() *cobra.Command {
	var dry bool
	var note string
	var base int64
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a file the topology, in the running node or in its directory",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := readTopology(cmd, args)
			if err != nil {
				return err
			}
			problems := s.Validate()
			printProblems(cmd.ErrOrStderr(), problems)
			if topology.Failed(problems) {
				return exitStatus(1)
			}
			return applyTopology(cmd, s.Text(), note, base, dry)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print what would change")
	cmd.Flags().StringVar(&note, "note", "", "why, for the history")
	cmd.Flags().Int64Var(&base, "base", 0, "revision that the file was made from; refuse when it is no longer the current one")
	return cmd
}

// applyTopology hands the text to the running node, or writes it when none runs.
func applyTopology(cmd *cobra.Command, text []byte, note string, base int64, dry bool) error {
	out := cmd.OutOrStdout()
	client := adminapi.NewClient(dataDir(cmd))
	defer client.Close()
	switch err := applyOnline(cmd.Context(), client, out, text, base, dry); {
	case err == nil:
		return nil
	case !errors.Is(err, adminapi.ErrNotRunning):
		return err
	}
	st, err := topology.OpenStore(dataDir(cmd))
	if err != nil {
		return fmt.Errorf("%s: %w", dataDir(cmd), err)
	}
	before := st.Current()
	next, err := topology.Parse(topology.FileName, text)
	if err != nil {
		return err
	}
	file, err := node.LoadConfig(dataDir(cmd))
	if err != nil {
		return err
	}
	if _, ok := next.Node(file.Node.FQDN); !ok {
		return fmt.Errorf("the topology has no server %s, which is the name of this node; it has %s", file.Node.FQDN, nodeNames(next))
	}
	changes := topology.Diff(before.Topology(), next.Topology())
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if dry {
		return nil
	}
	if len(changes) == 0 && bytes.Equal(before.Text(), text) {
		fmt.Fprintf(out, "Nothing changed; revision %d stays.\n", before.Revision())
		return nil
	}
	s, err := st.Apply(text, first(note, "applied while the node was stopped"), base)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Revision %d is in place; the node takes it up when it starts.\n", s.Revision())
	return nil
}

func applyOnline(ctx context.Context, client *adminapi.Client, out io.Writer, text []byte, base int64, dry bool) error {
	path, etag := "/topology", ""
	if dry {
		path += "?dry-run=1"
	}
	if base != 0 {
		etag = fmt.Sprintf("%q", fmt.Sprint(base))
	}
	var result adminapi.ReloadResult
	if _, err := client.Do(ctx, http.MethodPut, path, etag, adminapi.TopologyText{Text: string(text)}, &result); err != nil {
		return err
	}
	for _, c := range result.Changes {
		fmt.Fprintln(out, c.Text)
	}
	switch {
	case dry:
	case len(result.Changes) == 0:
		fmt.Fprintln(out, "Nothing changed.")
	default:
		fmt.Fprintln(out, "The running node has taken it up.")
	}
	return nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func topologyExportCommand() *cobra.Command {
	var revision int64
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: `Write the topology of this node to a file, or to standard output for "-"`,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := peekTopology(cmd)
			if err != nil {
				return err
			}
			s := st.Current()
			if revision != 0 {
				if s, err = st.At(revision); err != nil {
					return err
				}
			}
			if args[0] == "-" {
				_, err = cmd.OutOrStdout().Write(s.Text())
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write(s.Text())
			return errors.Join(err, f.Close())
		},
	}
	cmd.Flags().Int64Var(&revision, "revision", 0, "an earlier revision")
	return cmd
}

func topologyHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "List the revisions of the topology, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := peekTopology(cmd)
			if err != nil {
				return err
			}
			revs, err := st.History()
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, r := range revs {
				fmt.Fprintf(tw, "%d\t%s\t%s\n", r.Number, r.Time.Local().Format("2006-01-02 15:04:05"), r.Note)
			}
			return tw.Flush()
		},
	}
}
