package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/topology"
)

// trustedEdit are the flags that every change of trust has.
type trustedEdit struct {
	file string
	dry  bool
}

func (e *trustedEdit) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.file, "topology", "", "change this file instead, and print it")
	cmd.Flags().BoolVar(&e.dry, "dry-run", false, "only print what would change")
}

// run edits a copy of the topology and puts it in force.
func (e *trustedEdit) run(cmd *cobra.Command, note string, edit func(*topology.Topology) error) error {
	var args []string
	if e.file != "" {
		args = []string{e.file}
	}
	before, err := readTopology(cmd, args)
	if err != nil {
		return err
	}
	t, err := copyTopology(before)
	if err != nil {
		return err
	}
	if err := edit(t); err != nil {
		return err
	}
	return changeTopology(cmd, before, topology.Format(t), e.file, note, e.dry)
}

const trustedLong = `They are part of the topology: the plan prints rules for them, and a server with a certificate
of the internal CA for such a name is believed without credentials. A change counts for
connections that open from then on. The topology is written anew, without its comments.`

func trustedApplicationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trusted-application",
		Short: "Programs on trusted computers, known by their ports",
		Long:  "Programs on trusted computers, known by their ports.\n\n" + trustedLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(trustedApplicationAdd(), trustedListCommand("applications"), trustedApplicationRemove())
	return cmd
}

func trustedApplicationAdd() *cobra.Command {
	var edit trustedEdit
	var pool string
	var port uint16
	var tcp bool
	cmd := &cobra.Command{
		Use:     "add ID --pool POOL --port PORT",
		Short:   "Add an application to a trusted pool",
		Example: `  parley config trusted-application add recorder --pool apps.example.test --port 6000`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return edit.run(cmd, "trusted application "+args[0], func(t *topology.Topology) error {
				p, err := trustedPool(t, pool)
				if err != nil {
					return err
				}
				p.Applications = append(p.Applications, topology.TrustedApplication{ID: args[0], Port: port, TCP: tcp})
				return nil
			})
		},
	}
	edit.flags(cmd)
	cmd.Flags().StringVar(&pool, "pool", "", "trusted pool on whose computers it runs; a single computer is a pool by its own name")
	cmd.Flags().Uint16Var(&port, "port", 0, "port on which it listens, unique in the pool")
	cmd.Flags().BoolVar(&tcp, "tcp", false, "plain TCP in place of mutual TLS: without a certificate its requests need credentials")
	cmd.MarkFlagRequired("pool")
	cmd.MarkFlagRequired("port")
	return cmd
}

func trustedApplicationRemove() *cobra.Command {
	var edit trustedEdit
	var pool string
	cmd := &cobra.Command{
		Use:   "remove ID --pool POOL",
		Short: "Remove an application from a trusted pool",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return edit.run(cmd, "no trusted application "+args[0], func(t *topology.Topology) error {
				p, err := trustedPool(t, pool)
				if err != nil {
					return err
				}
				i := slices.IndexFunc(p.Applications, func(a topology.TrustedApplication) bool { return a.ID == args[0] })
				if i < 0 {
					return fmt.Errorf("trusted pool %s has no application %s", p.FQDN, args[0])
				}
				p.Applications = slices.Delete(p.Applications, i, i+1)
				return nil
			})
		},
	}
	edit.flags(cmd)
	cmd.Flags().StringVar(&pool, "pool", "", "trusted pool on whose computers it runs")
	cmd.MarkFlagRequired("pool")
	return cmd
}

// trustedPool is the trusted pool with that name.
func trustedPool(t *topology.Topology, name string) (*topology.TrustedPool, error) {
	var known []string
	for i := range t.TrustedPools {
		if p := &t.TrustedPools[i]; strings.EqualFold(string(p.FQDN), name) {
			return p, nil
		}
		known = append(known, string(t.TrustedPools[i].FQDN))
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("there is no trusted pool %s: add its computers first, with parley config trusted-computer add", name)
	}
	return nil, fmt.Errorf("there is no trusted pool %s; there are %s", name, strings.Join(known, ", "))
}

func trustedComputerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trusted-computer",
		Short: "Servers of other makers whose requests are believed",
		Long:  "Servers of other makers whose requests are believed.\n\n" + trustedLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(trustedComputerAdd(), trustedListCommand("computers"), trustedComputerRemove())
	return cmd
}

func trustedComputerAdd() *cobra.Command {
	var edit trustedEdit
	var pool, site, registrar string
	var addresses []string
	var made topology.TrustedPool
	cmd := &cobra.Command{
		Use:   "add FQDN",
		Short: "Trust a computer, alone or in a pool",
		Long: `Trust a computer, alone or in a pool. A pool that is not there yet is made; what is said
about a pool counts for the new one only.`,
		Example: `  parley config trusted-computer add recorder.example.test --address 192.0.2.20
  parley config trusted-computer add app1.example.test --pool apps.example.test --address 192.0.2.21`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := topology.ParseFQDN(args[0])
			if err != nil {
				return err
			}
			var list []netip.Addr
			for _, text := range addresses {
				a, err := netip.ParseAddr(text)
				if err != nil {
					return fmt.Errorf("--address %s: not an IP address", text)
				}
				list = append(list, a)
			}
			if made.FQDN = name; pool != "" {
				if made.FQDN, err = topology.ParseFQDN(pool); err != nil {
					return fmt.Errorf("--pool: %w", err)
				}
			}
			if registrar != "" {
				if made.Registrar, err = topology.ParseFQDN(registrar); err != nil {
					return fmt.Errorf("--registrar: %w", err)
				}
			}
			return edit.run(cmd, "trusted computer "+args[0], func(t *topology.Topology) error {
				p, err := trustedPool(t, string(made.FQDN))
				switch {
				case err == nil && pool == "":
					return fmt.Errorf("%s is trusted already", name)
				case err == nil && len(p.Computers) == 0:
					return fmt.Errorf("%s is a single computer, not a pool", p.FQDN)
				case err != nil:
					if made.Site = site; site == "" && len(t.Sites) > 0 {
						made.Site = t.Sites[0].Name
					}
					t.TrustedPools = append(t.TrustedPools, made)
					p = &t.TrustedPools[len(t.TrustedPools)-1]
				}
				if pool == "" {
					p.Addresses = list
				} else {
					p.Computers = append(p.Computers, topology.Server{FQDN: name, Addresses: list})
				}
				return nil
			})
		},
	}
	edit.flags(cmd)
	cmd.Flags().StringVar(&pool, "pool", "", "pool of trusted computers to which it belongs")
	cmd.Flags().StringSliceVar(&addresses, "address", nil, "IP address, for the rules of firewalls; may be repeated")
	cmd.Flags().StringVar(&site, "site", "", "where it stands (default the first site)")
	cmd.Flags().StringVar(&registrar, "registrar", "", "pool that serves it (default every pool)")
	cmd.Flags().BoolVar(&made.OutboundOnly, "outbound-only", false, "it sends requests and gets none")
	cmd.Flags().BoolVar(&made.ThrottleAsClient, "throttle-as-client", false, "the limits of clients apply to it, not those of servers")
	cmd.Flags().BoolVar(&made.Challenge, "challenge", false, "it may connect, and its requests need credentials like those of a client")
	return cmd
}

func trustedComputerRemove() *cobra.Command {
	var edit trustedEdit
	cmd := &cobra.Command{
		Use:   "remove FQDN",
		Short: "Trust a computer no longer; the last one takes its pool along",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return edit.run(cmd, "no trusted computer "+args[0], func(t *topology.Topology) error {
				for i := range t.TrustedPools {
					p := &t.TrustedPools[i]
					j := slices.IndexFunc(p.Computers, func(c topology.Server) bool { return strings.EqualFold(string(c.FQDN), args[0]) })
					alone := len(p.Computers) == 0 && strings.EqualFold(string(p.FQDN), args[0])
					switch {
					case alone || j >= 0 && len(p.Computers) == 1:
						t.TrustedPools = slices.Delete(t.TrustedPools, i, i+1)
						return nil
					case j >= 0:
						p.Computers = slices.Delete(p.Computers, j, j+1)
						return nil
					}
				}
				return fmt.Errorf("there is no trusted computer %s", args[0])
			})
		},
	}
	edit.flags(cmd)
	return cmd
}

// trustedView is one line of a list of trust.
type trustedView struct {
	Computer    topology.FQDN `json:"computer,omitempty"`
	Application string        `json:"application,omitempty"`
	Port        uint16        `json:"port,omitempty"`
	Transport   string        `json:"transport,omitempty"`
	Pool        topology.FQDN `json:"pool"`
	Addresses   []string      `json:"addresses,omitempty"`
	Believed    bool          `json:"believed"` // its requests need no credentials
}

func trustedListCommand(what string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List trusted " + what,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := readTopology(cmd, nil)
			if err != nil {
				return err
			}
			views := []trustedView{}
			for _, p := range s.Topology().TrustedPools {
				if what == "applications" {
					for _, a := range p.Applications {
						transport := "tls"
						if a.TCP {
							transport = "tcp"
						}
						views = append(views, trustedView{Application: a.ID, Port: a.Port, Transport: transport, Pool: p.FQDN, Believed: !p.Challenge && !a.TCP})
					}
					continue
				}
				computers := p.Computers
				if len(computers) == 0 {
					computers = []topology.Server{{FQDN: p.FQDN, Addresses: p.Addresses}}
				}
				for _, c := range computers {
					v := trustedView{Computer: c.FQDN, Pool: p.FQDN, Believed: !p.Challenge}
					for _, a := range c.Addresses {
						v.Addresses = append(v.Addresses, a.String())
					}
					views = append(views, v)
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), views)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			if what == "applications" {
				fmt.Fprintln(tw, "APPLICATION\tPORT\tTRANSPORT\tPOOL\tREQUESTS")
			} else {
				fmt.Fprintln(tw, "COMPUTER\tPOOL\tADDRESSES\tREQUESTS")
			}
			for _, v := range views {
				requests := "believed"
				if !v.Believed {
					requests = "need credentials"
				}
				if what == "applications" {
					fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", v.Application, v.Port, v.Transport, v.Pool, requests)
				} else {
					fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Computer, v.Pool, dash(join(v.Addresses)), requests)
				}
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
