package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parley/internal/plan"
	"parley/internal/plan/render/bind"
	"parley/internal/plan/render/cisco"
	"parley/internal/plan/render/cloud"
	"parley/internal/plan/render/csr"
	"parley/internal/plan/render/csv"
	"parley/internal/plan/render/haproxy"
	"parley/internal/plan/render/html"
	"parley/internal/plan/render/json"
	"parley/internal/plan/render/markdown"
	"parley/internal/plan/render/nftables"
	"parley/internal/plan/render/nginx"
	"parley/internal/plan/render/panos"
	"parley/internal/plan/render/strongswan"
	"parley/internal/plan/render/table"
	"parley/internal/plan/render/windows"
	"parley/internal/plan/render/xlsx"
	"parley/internal/topology"
)

// formats are the printers of plans.
var formats = map[string]func(io.Writer, *plan.Document) error{
	"table":    table.Render,
	"json":     json.Render,
	"csv":      csv.Render,
	"markdown": markdown.Render,
}

// fileFormats are what can be loaded, by document and format.
var fileFormats = map[string]map[string]func(*plan.Plan) ([]plan.File, error){
	"firewall": {
		"nftables": nftables.Firewall, "windows": windows.Firewall, "cisco-asa": cisco.Firewall, "pan-os": panos.Firewall,
		"aws": cloud.AWS, "azure": cloud.Azure,
	},
	"lb":    {"haproxy": haproxy.Balancer, "nginx": nginx.Balancer},
	"proxy": {"nginx": nginx.Proxy},
	"ipsec": {"windows": windows.IPsec, "strongswan": strongswan.IPsec},
	"dns":   {"bind": bind.DNS, "windows": windows.DNS},
	"certs": {"csr": csr.Requests},
	"qos":   {"nftables": nftables.QoS, "windows": windows.QoS},
}

func planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what a topology needs from the network: rules, balancers, names, certificates",
		Long: `Print what a topology needs from the network. The topology is that of the node in
--data, or the file given by --topology.

Checks run first: errors stop, warnings go to standard error. Every line names the
row of the port plan that it comes from.

Formats that other programs load are several files. They are printed one after the
other, each behind a line with its name, or written below the directory of --out.`,
		Example: `  parley plan firewall
  parley plan firewall --format nftables --out rules
  parley plan dns --format bind --out zones
  parley plan lb --format haproxy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().String("topology", "", `topology file, or "-" for standard input (default: that of --data)`)
	cmd.PersistentFlags().String("format", "table", "how to print")
	cmd.PersistentFlags().String("out", "", "write files below this directory")
	cmd.PersistentFlags().Bool("json", false, "the same as --format json")
	for _, d := range []struct{ kind, short string }{
		{"ports", "What each machine listens on, and for whom"},
		{"firewall", "Who talks to whom across which boundary"},
		{"lb", "What load balancers must offer"},
		{"proxy", "What reverse proxies publish"},
		{"ipsec", "Which traffic IPsec must leave alone"},
		{"dns", "Which DNS records must exist"},
		{"certs", "Which certificates must exist, with their names"},
		{"qos", "How packets are marked"},
		{"capacity", "What the deployment has to carry, and what it can"},
	} {
		cmd.AddCommand(planDocumentCommand(d.kind, d.short))
	}
	cmd.AddCommand(planReportCommand(), planDiffCommand())
	return cmd
}

func planDocumentCommand(kind, short string) *cobra.Command {
	return &cobra.Command{
		Use:   kind,
		Short: short,
		Long:  short + ".\n\nFormats: " + strings.Join(formatNames(kind), ", ") + ".",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := flaggedPlan(cmd)
			if err != nil {
				return err
			}
			if files, ok := fileFormats[kind][planFormat(cmd)]; ok {
				return writePlanFiles(cmd, p, files)
			}
			d, err := p.Document(kind)
			if err != nil {
				return err
			}
			return renderPlan(cmd, d)
		},
	}
}

// formatNames lists the formats of a document.
func formatNames(kind string) []string {
	return slices.Sorted(maps.Keys(mergeKeys(formats, fileFormats[kind])))
}

func mergeKeys[A, B any](a map[string]A, b map[string]B) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

func planFormat(cmd *cobra.Command) string {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return "json"
	}
	format, _ := cmd.Flags().GetString("format")
	return format
}

// writePlanFiles prints files one after the other, or writes them below --out. Keys are written only to files that
// are not there yet: a request that was sent must keep its key.
func writePlanFiles(cmd *cobra.Command, p *plan.Plan, make func(*plan.Plan) ([]plan.File, error)) error {
	files, err := make(p)
	if err != nil {
		return err
	}
	dir, _ := cmd.Flags().GetString("out")
	secret := slices.ContainsFunc(files, func(f plan.File) bool { return f.Secret })
	switch {
	case dir == "" && secret:
		return errors.New("these files hold private keys: give --out DIR")
	case dir == "":
		for i, f := range files {
			if len(files) > 1 {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				fmt.Fprintf(cmd.OutOrStdout(), "-- %s --\n", f.Name)
			}
			if _, err := cmd.OutOrStdout().Write(f.Data); err != nil {
				return err
			}
		}
		return nil
	}
	if secret {
		for _, f := range files {
			if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Name))); err == nil {
				return fmt.Errorf("%s exists; a new key would not fit the certificate that is being issued for it", filepath.Join(dir, f.Name))
			}
		}
	}
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if f.Secret {
			mode = 0o600
		}
		if err := os.WriteFile(name, f.Data, mode); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files in %s\n", len(files), dir)
	return err
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
	format := planFormat(cmd)
	render, ok := formats[format]
	if !ok {
		return fmt.Errorf("there is no format %q for this; there are %s", format, strings.Join(formatNames(d.Kind), ", "))
	}
	dir, _ := cmd.Flags().GetString("out")
	if dir == "" {
		return render(cmd.OutOrStdout(), d)
	}
	var b bytes.Buffer
	if err := render(&b, d); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ending := map[string]string{"table": "txt", "markdown": "md"}
	name := filepath.Join(dir, d.Kind+"."+first(ending[format], format))
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), name)
	return err
}

// reports are the whole plan in one file.
var reports = map[string]func(*plan.Plan) ([]plan.File, error){"html": html.Report, "xlsx": xlsx.Report}

func planReportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report FILE.html | FILE.xlsx",
		Short: "Write the whole plan: a page with a drawing of each site, or a workbook",
		Long: `Write the whole plan into one file, whose ending says what it becomes: a page with
a drawing of each site that needs nothing else and can be printed, or a workbook
with the four reports about the Edge and a firewall sheet for each site.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, ok := reports[strings.TrimPrefix(filepath.Ext(args[0]), ".")]
			if !ok {
				return fmt.Errorf("%s: the name must end in .html or .xlsx", args[0])
			}
			p, err := flaggedPlan(cmd)
			if err != nil {
				return err
			}
			files, err := report(p)
			if err != nil {
				return err
			}
			return os.WriteFile(args[0], files[0].Data, 0o644)
		},
	}
}

// flaggedPlan is the plan of --topology, or of the node.
func flaggedPlan(cmd *cobra.Command) (*plan.Plan, error) {
	var args []string
	if file, _ := cmd.Flags().GetString("topology"); file != "" {
		args = []string{file}
	}
	return resolvePlan(cmd, args)
}

func planDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "What the network team must change between two topology files",
		Long: `What must change between two topology files, device by device: rules of the routers between zones and of the
machines, balancers, reverse proxies, IPsec, names, certificates, marks.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := resolvePlan(cmd, args[:1])
			if err != nil {
				return err
			}
			after, err := resolvePlan(cmd, args[1:])
			if err != nil {
				return err
			}
			if dir, _ := cmd.Flags().GetString("out"); dir == "" && planFormat(cmd) == "json" {
				changes, err := plan.Changes(before, after)
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), append([]plan.Change{}, changes...))
			}
			d, err := plan.Diff(before, after)
			if err != nil {
				return err
			}
			return renderPlan(cmd, d)
		},
	}
}
