package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"parley/internal/node"
)

func serveCommand() *cobra.Command {
	var listen []string
	var pprof bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the node in the foreground",
		Long: `Run the node in the foreground. Logs go to standard error, with a line that says "ready" once
every service is up.

SIGHUP reloads the node file and the topology; a bad file changes nothing. SIGTERM or Ctrl-C drains:
new calls are refused, those in progress may go on until drain.deadline; a second one stops at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			overrides, err := listenOverrides(listen)
			if err != nil {
				return err
			}
			return node.Run(cmd.Context(), node.Options{DataDir: dataDir(cmd), Version: version(), Stderr: cmd.ErrOrStderr(),
				Listen: overrides, Pprof: pprof}, nil)
		},
	}
	cmd.Flags().StringArrayVar(&listen, "listen", nil,
		`ROW=ADDRESS:PORT in place of what the port plan says, for tests: "srv-fe-frontend-5061=127.0.0.1:0"; "admin" is the health listener; may be repeated`)
	cmd.Flags().BoolVar(&pprof, "pprof", false, "offer profiles on the health listener")
	return cmd
}

func listenOverrides(list []string) (map[string]netip.AddrPort, error) {
	out := map[string]netip.AddrPort{}
	for _, one := range list {
		row, text, ok := strings.Cut(one, "=")
		addr, err := netip.ParseAddrPort(text)
		if !ok || err != nil {
			return nil, fmt.Errorf("--listen %q: want ROW=ADDRESS:PORT, such as srv-fe-frontend-5061=127.0.0.1:5061", one)
		}
		out[row] = addr
	}
	return out, nil
}
