package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/service/adminapi"
	"parley/internal/service/replicator"
)

func replicateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replicate",
		Short: "Users from Active Directory: how it went, and once more now",
		Long: `Users from Active Directory: how it went, and once more now.

The section [replicator] of parley.toml says where they come from. One member of the pool replicates; any may be asked.
The exit status is 0 when the round went well, and 1 when it failed or left users enabled who are gone there.`,
	}
	status := replicateVerb("status", "Show the last round", http.MethodGet, nil)
	var allow bool
	now := replicateVerb("now", "Read everybody again at once", http.MethodPost, &allow)
	now.Flags().BoolVar(&allow, "allow-removals", false, "disable whoever is gone from the directory, however many they are")
	cmd.AddCommand(status, now)
	return cmd
}

func replicateVerb(use, short, method string, allow *bool) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.NewClient(dataDir(cmd))
			defer client.Close()
			path := "/services/" + replicator.Spec.Name
			if allow != nil && *allow {
				path += "?allow-removals=1"
			}
			var text json.RawMessage
			if _, err := client.Do(cmd.Context(), method, path, "", nil, &text); err != nil {
				return err
			}
			var r replicator.Report
			if err := json.Unmarshal(text, &r); err != nil {
				return err
			}
			print := printReport
			if asJSON {
				print = func(w io.Writer, r *replicator.Report) error { return printJSON(w, r) }
			}
			if err := print(cmd.OutOrStdout(), &r); err != nil {
				return err
			}
			if r.Error != "" || r.Withheld > 0 {
				return exitStatus(1)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, r *replicator.Report) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "round\t%s at %s, in %s, by %s\n", r.Kind, r.Began.Local().Format("2006-01-02 15:04:05"), r.Took.Round(time.Millisecond), r.Node)
	if r.Server != "" {
		fmt.Fprintf(tw, "controller\t%s\n", r.Server)
	}
	fmt.Fprintf(tw, "people\t%d read, %d added, %d changed, %d disabled; %d users\n", r.Read, r.Added, r.Changed, r.Disabled, r.Users)
	if r.Withheld > 0 {
		fmt.Fprintf(tw, "WITHHELD\t%d users are gone there and stay enabled, because they are so many. If that is right: parley replicate now --allow-removals\n", r.Withheld)
	}
	if r.Error != "" {
		fmt.Fprintf(tw, "ERROR\t%s\n", r.Error)
	}
	for i, n := range r.Notes {
		label := ""
		if i == 0 {
			label = "notes"
		}
		fmt.Fprintf(tw, "%s\t%s: %s\n", label, n.Who, n.Why)
	}
	if more := r.NoteCount - len(r.Notes); more > 0 {
		fmt.Fprintf(tw, "\tand %d more\n", more)
	}
	return tw.Flush()
}
