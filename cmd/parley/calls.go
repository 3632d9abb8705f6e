package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/service/adminapi"
)

func callsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "List the calls that are going on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.NewClient(dataDir(cmd))
			defer client.Close()
			var calls []adminapi.Call
			if err := client.Get(cmd.Context(), "/calls", &calls); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), calls)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "FROM\tTO\tSTATE\tFOR\tCALL-ID")
			for _, c := range calls {
				since := c.Started
				if c.Answered != nil {
					since = *c.Answered
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", c.From, c.To, c.State, time.Since(since).Truncate(time.Second), c.CallID)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func registrationsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "registrations",
		Short: "List the endpoints that are signed in",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.NewClient(dataDir(cmd))
			defer client.Close()
			var regs []adminapi.Registration
			if err := client.Get(cmd.Context(), "/registrations", &regs); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), regs)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "USER\tCONTACT\tFROM\tEXPIRES IN\tPROGRAM")
			for _, r := range regs {
				fmt.Fprintf(tw, "%s\t%s\t%s %s\t%s\t%s\n", r.User, r.Contact, r.Transport, r.Remote,
					time.Until(r.Expires).Round(time.Second), r.UserAgent)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
