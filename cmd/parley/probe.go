package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/cert"
	"parley/internal/plan"
	"parley/internal/probe"
	"parley/internal/service"
	"parley/internal/service/all"
	"parley/internal/topology"
)

type probeFlags struct {
	zone, from, format string
	hosts, peers       []string
	timeout            time.Duration
	parallel, denied   int
	wayOnly, hostWalls bool
	list, itself       bool
}

func probeCommand() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try from here what the plan allows, and some of what it does not",
		Long: `Try every flow that the plan allows from the zone of this machine, as its service
is asked (SIP OPTIONS, TLS with name and expiry of the certificate, HTTP, STUN,
database instances, DHCP), and some ports that it does not allow. What fails is
printed with the rule that is missing and the firewall on which it should be.

Ports of the plan on which this version has nothing yet count as fine when the way to them
is open. On a server, its own services are asked with --itself, or when there is nothing else.

The zone follows from the addresses of this machine; --zone and --from say it where
they do not. Clients and the outside are networks in the plan: --peer names a
machine that stands for all others of its zone.

The exit status is 0 when everything is as planned, and 1 when something is not.`,
		Example: `  parley probe --topology plan.toml
  parley probe --topology plan.toml --zone internet --format junit >probe.xml
  parley probe --peer internet=198.51.100.10 --way-only`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := flaggedPlan(cmd)
			if err != nil {
				return err
			}
			return runProbe(cmd, p, f)
		},
	}
	cmd.Flags().String("topology", "", `topology file, or "-" for standard input (default: that of --data)`)
	cmd.Flags().StringVar(&f.zone, "zone", "", "zone in which this machine is")
	cmd.Flags().StringVar(&f.from, "from", "", "address of this machine to send from")
	cmd.Flags().StringVar(&f.format, "format", "table", "one of table, json, junit")
	cmd.Flags().StringSliceVar(&f.hosts, "host", nil, "only these servers")
	cmd.Flags().StringSliceVar(&f.peers, "peer", nil, "ZONE=ADDRESS of a machine that stands for the clients there")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 3*time.Second, "how long to wait for one answer")
	cmd.Flags().IntVar(&f.parallel, "parallel", 32, "how many probes at once")
	cmd.Flags().IntVar(&f.denied, "denied", 5, "how many ports of each address to try that are not allowed")
	cmd.Flags().BoolVar(&f.wayOnly, "way-only", false, "only find out whether packets pass: a server that refuses is fine")
	cmd.Flags().BoolVar(&f.hostWalls, "host-firewalls", false, "expect the firewalls of the machines themselves as planned")
	cmd.Flags().BoolVar(&f.itself, "itself", false, "on a server of the plan: also ask its own services, as a client beside it would")
	cmd.Flags().BoolVar(&f.list, "list", false, "only list what would be tried")
	return cmd
}

func runProbe(cmd *cobra.Command, p *plan.Plan, f probeFlags) error {
	write := map[string]func([]probe.Result, string) error{
		"table": func(r []probe.Result, _ string) error { probe.Sort(r); return probe.Table(cmd.OutOrStdout(), r) },
		"json":  func(r []probe.Result, _ string) error { return probe.JSON(cmd.OutOrStdout(), r) },
		"junit": func(r []probe.Result, zone string) error {
			return probe.JUnit(cmd.OutOrStdout(), "parley probe from "+zone, r)
		},
	}[f.format]
	if write == nil {
		return fmt.Errorf("there is no format %q; there are table, json, junit", f.format)
	}
	here, err := vantageOf(p.Topology, f.zone, f.from)
	if err != nil {
		return err
	}
	opt := probe.Options{Hosts: f.hosts, Denied: f.denied, HostFirewalls: f.hostWalls, WayOnly: f.wayOnly}
	for _, text := range f.peers {
		zone, addr, ok := strings.Cut(text, "=")
		a, err := netip.ParseAddr(addr)
		z, known := p.Topology.Zone(zone)
		if !ok || err != nil || !known {
			return fmt.Errorf("--peer %s: want ZONE=ADDRESS, such as internet=198.51.100.10; zones are %s", text, zoneNames(p.Topology))
		}
		opt.Peers = append(opt.Peers, probe.Peer{Name: "a machine in " + zone, Zone: z, Address: a})
	}
	opt.Itself = f.itself
	probes := probe.Select(p, here, opt)
	if len(probes) == 0 && !opt.Itself {
		opt.Itself = true
		if probes = probe.Select(p, here, opt); len(probes) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is a server that opens nothing elsewhere: its own services are asked\n", here.Address)
		}
	}
	name := here.Address.String()
	if here.Zone != nil {
		name += " in zone " + here.Zone.Name
	}
	if len(probes) == 0 {
		return fmt.Errorf("the plan has nothing that may be opened from %s", name)
	}
	markNotYet(p.Topology, probes)
	if f.list {
		for _, x := range probes {
			verb := "allowed"
			if !x.Allowed {
				verb = "denied "
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s %d  %s  %s  %s\n", verb, x.Address, x.Transport, x.Port, x.Method, x.Host, strings.Join(x.Rows, " "))
		}
		return nil
	}
	r := probe.Runner{Timeout: f.timeout, Parallel: f.parallel}
	if f.from != "" {
		r.Local = here.Address
	}
	if pool, _, err := cert.Roots(dataDir(cmd)); err == nil && len(cmd.Flag("topology").Value.String()) == 0 {
		r.Roots = pool
	}
	done, failed := 0, 0
	var progress func(probe.Result)
	if live(cmd) {
		fmt.Fprintf(cmd.ErrOrStderr(), "from %s\n", name)
		progress = func(res probe.Result) {
			if done++; res.Failed() {
				failed++
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%d of %d, %d failed", done, len(probes), failed)
			if done == len(probes) {
				fmt.Fprint(cmd.ErrOrStderr(), "\r\033[K")
			}
		}
	}
	results := r.Run(cmd.Context(), probes, progress)
	if err := write(results, name); err != nil {
		return err
	}
	for _, res := range results {
		if res.Failed() {
			return exitStatus(1)
		}
	}
	return nil
}

// markNotYet marks the probes of servers of the product on ports that none of its services opens.
func markNotYet(s *topology.Snapshot, probes []probe.Probe) {
	open := map[string]bool{}
	for _, r := range service.PortRows(all.Specs()) {
		open[r.ID] = r.State == service.Served
	}
	ours := map[string]bool{}
	for _, m := range s.Machines() {
		ours[string(m.FQDN)] = m.Pool != nil
	}
	for i := range probes {
		x := &probes[i]
		x.NotYet = x.Allowed && ours[x.Host] && !slices.ContainsFunc(x.Rows, func(row string) bool { return open[row] })
	}
}

// live reports whether progress can be seen.
func live(cmd *cobra.Command) bool {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// vantageOf is where this machine is in a topology: as told, or by an address that the topology gives to a machine, or by
// the first of its addresses that lies in a zone with networks, otherwise outside.
func vantageOf(s *topology.Snapshot, zone, from string) (probe.Vantage, error) {
	var v probe.Vantage
	if zone != "" {
		z, ok := s.Zone(zone)
		if !ok {
			return v, fmt.Errorf("the topology has no zone %s; it has %s", zone, zoneNames(s))
		}
		v.Zone = z
	}
	if from != "" {
		a, err := netip.ParseAddr(from)
		if err != nil {
			return v, fmt.Errorf("--from %s: %w", from, err)
		}
		v.Address = a.Unmap()
		if v.Zone == nil {
			v.Zone = s.ZoneOf(v.Address)
		}
		return v, nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return v, err
	}
	if v.Zone == nil {
		for _, m := range s.Machines() {
			for _, a := range m.Addresses {
				if slices.ContainsFunc(list, func(n net.Addr) bool {
					own, err := netip.ParsePrefix(n.String())
					return err == nil && own.Addr().Unmap() == a
				}) {
					return probe.Vantage{Zone: m.Zone, Address: a}, nil
				}
			}
		}
	}
	var fallback netip.Addr
	for _, n := range list {
		prefix, err := netip.ParsePrefix(n.String())
		if err != nil {
			continue
		}
		a := prefix.Addr().Unmap()
		if a.IsLoopback() || a.IsLinkLocalUnicast() {
			continue
		}
		z := s.ZoneOf(a)
		switch {
		case v.Zone == nil && z != nil && z.Kind != topology.External, v.Zone != nil && z == v.Zone:
			return probe.Vantage{Zone: z, Address: a}, nil
		case !fallback.IsValid():
			fallback = a
		}
	}
	if !fallback.IsValid() {
		return v, errors.New("this machine has no address: give --from")
	}
	v.Address = fallback
	if v.Zone == nil {
		v.Zone = s.ZoneOf(fallback)
	}
	if v.Zone == nil && len(s.Topology().Zones) > 0 {
		return v, fmt.Errorf("%s lies in no zone of the topology: give --zone, one of %s", fallback, zoneNames(s))
	}
	return v, nil
}

func zoneNames(s *topology.Snapshot) string {
	var out []string
	for _, z := range s.Topology().Zones {
		out = append(out, z.Name)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
