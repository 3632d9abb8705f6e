package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/hostfw"
	"parley/internal/node"
)

func serveCommand() *cobra.Command {
	var listen []string
	var pprof bool
	var firewall string
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
			opt := node.Options{DataDir: dataDir(cmd), Version: version(), Stderr: cmd.ErrOrStderr(), Listen: overrides, Pprof: pprof}
			if firewall == "" {
				return node.Run(cmd.Context(), opt, nil)
			}
			chain, err := hostfw.ParseChain(firewall)
			if err != nil {
				return fmt.Errorf("--open-firewall %w", err)
			}
			var opened *hostfw.Opened
			err = node.Run(cmd.Context(), opt, func(n *node.Node) {
				if opened, err = openFirewall(cmd, n, chain); err != nil {
					// Like the original: whether something filters is no condition for running.
					fmt.Fprintln(cmd.ErrOrStderr(), "parley: the host firewall stays as it is:", err)
				}
				n.SayReady()
			})
			if opened != nil {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 10*time.Second)
				defer cancel()
				err = errors.Join(err, opened.Close(ctx))
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&listen, "listen", nil,
		`ROW=ADDRESS:PORT in place of what the port plan says, for tests: "srv-fe-frontend-5061=127.0.0.1:0"; "admin" is the health listener; may be repeated`)
	cmd.Flags().StringVar(&firewall, "open-firewall", "",
		`open the ports of this node at the head of a chain of nftables, and close them on exit: "inet filter input"`)
	cmd.Flags().BoolVar(&pprof, "pprof", false, "offer profiles on the health listener")
	return cmd
}

// openFirewall opens the ports on which a node listens.
func openFirewall(cmd *cobra.Command, n *node.Node, chain hostfw.Chain) (*hostfw.Opened, error) {
	st := n.Status()
	var ports []hostfw.Port
	for _, l := range st.Listeners {
		addr, err := netip.ParseAddrPort(l.Address)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Row, err)
		}
		transport := "tcp"
		if strings.EqualFold(l.Transport, "udp") {
			transport = "udp"
		}
		ports = append(ports, hostfw.Port{Transport: transport, Address: addr, Row: l.Row})
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
	defer cancel()
	return hostfw.Open(ctx, chain, st.Node, ports)
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
