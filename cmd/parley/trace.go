package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"parley/internal/service/adminapi"
)

func traceCommand() *cobra.Command {
	var user, call string
	var flow uint64
	var past, bodies, credentials, asJSON, short bool
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Follow SIP messages as they pass, of one user, call or connection",
		Long: `Follow SIP messages as they pass, of one user, call or connection.

What passed lately is shown first; --past stops there. Bodies and credentials are masked
unless asked for, and asking leaves an audit record.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.NewClient(dataDir(cmd))
			defer client.Close()
			q := url.Values{}
			set := func(name, value string) {
				if value != "" && value != "0" {
					q.Set(name, value)
				}
			}
			flag := func(name string, on bool) {
				if on {
					q.Set(name, "1")
				}
			}
			set("user", user)
			set("call", call)
			set("flow", strconv.FormatUint(flow, 10))
			flag("bodies", bodies)
			flag("credentials", credentials)
			flag("follow", !past)
			w := cmd.OutOrStdout()
			err := client.Stream(cmd.Context(), "/trace?"+q.Encode(), func(raw json.RawMessage) error {
				if asJSON {
					_, err := fmt.Fprintf(w, "%s\n", raw)
					return err
				}
				var l adminapi.TraceLine
				if err := json.Unmarshal(raw, &l); err != nil {
					return err
				}
				arrow := "<-"
				if l.Out {
					arrow = "->"
				}
				_, err := fmt.Fprintf(w, "%s %s %s %s flow %d  %s\n", l.Time.Local().Format("15:04:05.000000"), arrow,
					l.Transport, l.Remote, l.Flow, l.Title)
				if err == nil && !short {
					_, rest, _ := strings.Cut(l.Text, "\n")
					_, err = fmt.Fprintf(w, "    %s\n\n", strings.ReplaceAll(strings.TrimRight(rest, "\n"), "\n", "\n    "))
				}
				return err
			})
			if cmd.Context().Err() != nil && errors.Is(err, cmd.Context().Err()) {
				return nil // interrupted: that is how following ends
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&user, "user", "", "only messages from or to this user, such as alice@example.test")
	f.StringVar(&call, "call", "", "only messages with this Call-ID")
	f.Uint64Var(&flow, "flow", 0, "only messages of the connection with this number")
	f.BoolVar(&past, "past", false, "show what passed lately and stop")
	f.BoolVar(&short, "short", false, "one line for each message")
	f.BoolVar(&bodies, "bodies", false, "show bodies")
	f.BoolVar(&credentials, "credentials", false, "show credentials")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per line")
	return cmd
}
