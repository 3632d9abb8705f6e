package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/service/adminapi"
)

func statusCommand() *cobra.Command {
	var wait time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running node: readiness, services and listeners with their port rows",
		Long: `Show the running node: readiness, services and listeners with their port rows.

The exit status is 0 when the node is ready, and 1 when it is not or does not run.
With --wait, the node is given that long to become ready.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.NewClient(dataDir(cmd))
			defer client.Close()
			st, err := waitStatus(cmd.Context(), client, wait)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), st)
			} else {
				err = printStatus(cmd.OutOrStdout(), st)
			}
			if err == nil && !st.Ready {
				err = exitStatus(1)
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for a server that is ready, such as 30s")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// waitStatus asks until the node is ready or the time is over, and returns the
// last answer. Something other than a missing server is an error at once.
func waitStatus(ctx context.Context, client *adminapi.Client, wait time.Duration) (*adminapi.Status, error) {
	deadline := time.Now().Add(wait)
	for {
		var st adminapi.Status
		err := client.Get(ctx, "/status", &st)
		switch {
		case err == nil && st.Ready:
			return &st, nil
		case err != nil && !errors.Is(err, adminapi.ErrNotRunning):
			return nil, err
		case !time.Now().Before(deadline):
			if err != nil {
				return nil, err
			}
			return &st, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func printStatus(w io.Writer, st *adminapi.Status) error {
	ready := "ready"
	if !st.Ready {
		ready = "NOT READY"
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "node\t%s (pool %s, process %d)\n", st.Node, st.Pool, st.PID)
	fmt.Fprintf(tw, "state\t%s, %s since %s\n", ready, st.State, st.Started.Local().Format("2006-01-02 15:04:05"))
	for _, m := range st.Missing {
		fmt.Fprintf(tw, "missing\t%s: %s\n", m.Name, m.Reason)
	}
	fmt.Fprintf(tw, "version\t%s\n", st.Version)
	fmt.Fprintf(tw, "domains\t%s\n", strings.Join(st.Domains, ", "))
	fmt.Fprintf(tw, "roles\t%s\n", strings.Join(st.Roles, ", "))
	fmt.Fprintf(tw, "now\t%d users, %d registrations, %d calls, %d connections\n",
		st.Counts.Users, st.Counts.Registrations, st.Counts.Calls, st.Counts.Flows)
	if st.Offset != 0 {
		fmt.Fprintf(tw, "offset\tports below 1024 are shifted by %d\n", st.Offset)
	}
	if st.AdminHTTP != "" {
		fmt.Fprintf(tw, "health\thttp://%s/healthz /readyz /metrics\n", st.AdminHTTP)
	}
	if st.AdminURL != "" {
		fmt.Fprintf(tw, "pages\t%s\n", st.AdminURL)
	}
	fmt.Fprintf(tw, "data\t%s\n", st.DataDir)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "SERVICE\tSTATE\t")
	for _, s := range st.Services {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Name, s.State, s.Error)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "PORT ROW\tADDRESS\tTRANSPORT\tSERVICE\t")
	for _, l := range st.Listeners {
		note := ""
		if l.Extension != "" {
			note = "beside the port table: " + l.Extension
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", l.Row, l.Address, l.Transport, l.Service, note)
	}
	return tw.Flush()
}
