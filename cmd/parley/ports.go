package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/porttable"
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
			rows := portStates(all.Specs())
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

// The states of a row.
const (
	served     = "served"
	clientSide = "client side"
	notYet     = "not yet"
)

// portRow is one line of the list.
type portRow struct {
	ID          string   `json:"id"`
	Table       string   `json:"table"`
	Role        string   `json:"role"`
	Service     string   `json:"service"`
	Port        string   `json:"port"`
	First       uint16   `json:"first,omitempty"`
	Last        uint16   `json:"last,omitempty"`
	Transports  []string `json:"transports"`
	TLS         []string `json:"tls"`
	Direction   []string `json:"direction"`
	Purpose     string   `json:"purpose"`
	DuplicateOf string   `json:"duplicate_of,omitempty"`
	State       string   `json:"state"`
	ServedBy    []string `json:"served_by"`           // services of this program
	Listening   []string `json:"listening,omitempty"` // addresses of the running node
}

// portStates joins the port plan with what the services declare.
func portStates(specs []service.Spec) []*portRow {
	owners := map[string][]string{} // by row
	var extensions []*portRow
	for _, s := range specs {
		for _, p := range s.Ports {
			owners[p.Row] = append(owners[p.Row], s.Name)
			if p.Extension != "" {
				extensions = append(extensions, extensionRow(s.Name, p))
			}
		}
	}
	var out []*portRow
	for _, r := range porttable.All() {
		row := &portRow{ID: r.ID, Table: string(r.Table), Role: string(r.Role), Service: r.ServiceText, Port: r.Ports,
			First: r.PortFirst, Last: r.PortLast, Transports: r.Transports.List(), TLS: r.TLS.List(), Direction: r.Direction.List(),
			Purpose: r.Purpose, DuplicateOf: r.DuplicateOf, State: notYet, ServedBy: []string{}}
		for _, id := range sameListener(r) {
			for _, name := range owners[id] {
				if !contains(row.ServedBy, name) {
					row.ServedBy = append(row.ServedBy, name)
				}
			}
		}
		switch {
		case len(row.ServedBy) > 0:
			row.State = served
		case r.Table == porttable.Client:
			row.State = clientSide
		}
		out = append(out, row)
	}
	return append(out, extensions...)
}

func extensionRow(name string, p service.Port) *portRow {
	transport := "tcp"
	if p.Transport == service.UDP {
		transport = "udp"
	}
	tls := "none"
	if p.Transport == service.TLS || p.Transport == service.WSS {
		tls = "tls"
	}
	return &portRow{ID: p.Row, Table: "extension", Role: "-", Service: name, Port: fmt.Sprint(p.Number), First: p.Number, Last: p.Number,
		Transports: []string{transport}, TLS: []string{tls}, Direction: []string{"inbound"}, Purpose: p.Extension, State: served,
		ServedBy: []string{name}}
}

// sameListener lists the rows that speak of the same listener as r: the row itself, the row it repeats and
// those that repeat it, and for a load balancer the row of the servers behind it.
func sameListener(r porttable.Row) []string {
	ids := []string{r.ID}
	if r.DuplicateOf != "" {
		ids = append(ids, r.DuplicateOf)
	}
	behind := map[porttable.RoleID][]porttable.RoleID{
		porttable.RoleFrontEndLB:    {porttable.RoleFrontEnd},
		porttable.RoleFrontEndMedLB: {porttable.RoleFrontEndMediation},
		porttable.RoleDirectorLB:    {porttable.RoleDirector},
		porttable.RoleMediationLB:   {porttable.RoleMediation},
	}
	for _, o := range porttable.All() {
		if o.DuplicateOf == r.ID || r.DuplicateOf != "" && o.DuplicateOf == r.DuplicateOf {
			ids = append(ids, o.ID)
		}
		for _, role := range behind[r.Role] {
			if o.Table == porttable.Server && o.Role == role && o.PortFirst == r.PortFirst && o.Direction.Has(porttable.Inbound) {
				ids = append(ids, o.ID)
				if o.DuplicateOf != "" {
					ids = append(ids, o.DuplicateOf)
				}
			}
		}
	}
	return ids
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
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

func addListeners(rows []*portRow, open []adminapi.Listener) {
	for _, l := range open {
		for _, r := range rows {
			if r.ID == l.Row {
				r.Listening = append(r.Listening, l.Transport+" "+l.Address)
			}
		}
	}
}

func printPorts(w io.Writer, rows []*portRow) error {
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
	_, err := fmt.Fprintf(w, "%d rows: %d served, %d client side, %d not yet\n", len(rows), count[served], count[clientSide], count[notYet])
	return err
}
