package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/all"
)

func portsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ports",
		Short: "List every row of the port plan, who serves it, and its state",
		Long: `List every row of the port plan, who serves it, and its state:

  served       a service of this program listens on it, or stands behind the balancer
  client side  clients open it
  not yet      nobody serves it in this version

Ports beside the plan, which begin with ext-, follow at the end. When the node of
--data runs, the addresses it listens on are shown too; the list itself needs no node.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := service.PortRows(all.Specs())
			addListeners(rows, listeners(cmd.Context(), dataDir(cmd)))
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			return printPorts(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listeners asks the node of a data directory what it listens on. A node that does not run, or does not
// answer, listens on nothing.
func listeners(ctx context.Context, dir string) []adminapi.Listener {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client := adminapi.NewClient(dir)
	defer client.Close()
	var st adminapi.Status
	if err := client.Get(ctx, "/status", &st); err != nil {
		return nil
	}
	return st.Listeners
}

func addListeners(rows []*service.PortRow, open []adminapi.Listener) {
	for _, l := range open {
		for _, r := range rows {
			if r.ID == l.Row {
				r.Listening = append(r.Listening, l.Transport+" "+l.Address)
			}
		}
	}
}

func printPorts(w io.Writer, rows []*service.PortRow) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tPORT\tTRANSPORT\tTLS\tROLE\tSTATE\tSERVED BY\tLISTENING")
	count := map[string]int{}
	for _, r := range rows {
		count[r.State]++
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Port, strings.Join(r.Transports, ","), strings.Join(r.TLS, ","),
			r.Role, r.State, dash(strings.Join(r.ServedBy, ", ")), dash(strings.Join(r.Listening, ", ")))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d rows: %d served, %d client side, %d not yet\n", len(rows), count[service.Served], count[service.ClientSide], count[service.NotYet])
	return err
}
