package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parley/internal/plan"
	"parley/internal/plan/render/csv"
	"parley/internal/plan/render/json"
	"parley/internal/plan/render/markdown"
	"parley/internal/plan/render/table"
	"parley/internal/topology"
)

// formats are the printers of plans.
var formats = map[string]func(io.Writer, *plan.Document) error{
	"table":    table.Render,
	"json":     json.Render,
	"csv":      csv.Render,
	"markdown": markdown.Render,
}

func planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what a topology needs from the network: rules, balancers, names, certificates",
		Long: `Print what a topology needs from the network. The topology is that of the node in
--data, or the file given by --topology.

Checks run first: errors stop, warnings go to standard error. Every line names the
row of the port plan that it comes from.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().String("topology", "", `topology file, or "-" for standard input (default: that of --data)`)
	cmd.PersistentFlags().String("format", "table", "one of "+strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	cmd.PersistentFlags().Bool("json", false, "the same as --format json")
	for _, d := range []struct{ kind, short string }{
		{"ports", "What each machine listens on, and for whom"},
		{"firewall", "Who talks to whom across which boundary"},
		{"lb", "What load balancers must offer"},
		{"ipsec", "Which traffic IPsec must leave alone"},
		{"dns", "Which DNS records must exist"},
		{"certs", "Which certificates must exist, with their names"},
		{"qos", "How packets are marked"},
		{"capacity", "What the deployment has to carry, and what it can"},
	} {
		cmd.AddCommand(planDocumentCommand(d.kind, d.short))
	}
	cmd.AddCommand(planDiffCommand())
	return cmd
}

func planDocumentCommand(kind, short string) *cobra.Command {
	return &cobra.Command{
		Use:   kind,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var args []string
			if file, _ := cmd.Flags().GetString("topology"); file != "" {
				args = []string{file}
			}
			p, err := resolvePlan(cmd, args)
			if err != nil {
				return err
			}
			d, err := p.Document(kind)
			if err != nil {
				return err
			}
			return renderPlan(cmd, d)
		},
	}
}

// resolvePlan reads and checks a topology and makes its plan.
func resolvePlan(cmd *cobra.Command, args []string) (*plan.Plan, error) {
	s, err := readTopology(cmd, args)
	if err != nil {
		return nil, err
	}
	problems := s.Validate()
	printProblems(cmd.ErrOrStderr(), problems)
	if topology.Failed(problems) {
		return nil, exitStatus(1)
	}
	return plan.Resolve(s), nil
}

func renderPlan(cmd *cobra.Command, d *plan.Document) error {
	format, _ := cmd.Flags().GetString("format")
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		format = "json"
	}
	render, ok := formats[format]
	if !ok {
		return fmt.Errorf("there is no format %q; there are %s", format, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	return render(cmd.OutOrStdout(), d)
}

func planDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "What the network team must change between two topology files",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := resolvePlan(cmd, args[:1])
			if err != nil {
				return err
			}
			after, err := resolvePlan(cmd, args[1:])
			if err != nil {
				return err
			}
			d, err := plan.Diff(before, after)
			if err != nil {
				return err
			}
			return renderPlan(cmd, d)
		},
	}
}
