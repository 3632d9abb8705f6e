package main

import (
	"fmt"
	"strings"
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
			fmt.Fprintln(tw, "FROM\tTO\tSTATE\tFOR\tMEDIA\tCALL-ID")
			for _, c := range calls {
				since := c.Started
				if c.Answered != nil {
					since = *c.Answered
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", c.From, c.To, c.State, time.Since(since).Truncate(time.Second), mediaOf(c), c.CallID)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// mediaOf says in a few words how the media of a call goes: from end to end, or through the server with these codecs, and
// how much of it was lost on the way from the caller and from the called party.
func mediaOf(c adminapi.Call) string {
	if len(c.Media) == 0 {
		return "end to end"
	}
	var parts []string
	for _, m := range c.Media {
		how := "relayed"
		if m.Transcoded {
			how = "converted"
		}
		text := m.Kind + " " + how
		for i, e := range m.Ends {
			text += []string{" ", " - "}[min(i, 1)] + e.Codec
		}
		for _, e := range m.Ends {
			if e.Lost > 0 && e.Packets > 0 {
				text += fmt.Sprintf(", %.1f%% lost from the %s", 100*float64(e.Lost)/float64(e.Lost+e.Packets), e.Device)
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
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
