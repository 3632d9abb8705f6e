package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/porttable"
	"parley/internal/service/adminweb"
	"parley/internal/tomlfile"
	"parley/internal/topology"
)

func initCommand() *cobra.Command {
	var o initOptions
	var addresses []string
	cmd := &cobra.Command{
		Use:   "init --domain DOMAIN --address IP",
		Short: "Make a node: configuration, topology, internal CA and certificates",
		Long: `Make a node in the directory given by --data: its configuration, a topology, an
internal CA and a certificate with every name that phones, browsers and other
servers look for.

Without --topology, the topology is one server that does everything inside.
With it, the node becomes the server of that file named by --node. Nodes of one
deployment share a CA: give the second and further ones --ca with the data
directory of the first.

Nothing that exists is overwritten.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.data = dataDir(cmd)
			for _, text := range addresses {
				a, err := netip.ParseAddr(text)
				if err != nil {
					return fmt.Errorf("--address %s: not an IP address", text)
				}
				o.addresses = append(o.addresses, a)
			}
			made, err := o.run()
			if err != nil {
				return err
			}
			return made.print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.domain, "domain", "", "SIP domain, as in alice@DOMAIN")
	f.StringArrayVar(&addresses, "address", nil, "IP address that phones and other servers reach this node at; may be repeated")
	f.IntVar(&o.offset, "offset", 0, "added to every listening port below 1024, and to no other, to run without privileges")
	f.StringVar(&o.node, "node", "", "name of this server (default server.DOMAIN)")
	f.StringVar(&o.topology, "topology", "", "topology file of a deployment that this node belongs to")
	f.StringVar(&o.ca, "ca", "", "data directory of the node that has the internal CA")
	return cmd
}

const topologyHeader = `# The deployment that this node belongs to: sites, pools, servers, and whom they trust.
# Edit and reload, or edit a copy and apply it: parley topology check FILE, parley topology apply FILE.

`

type initOptions struct {
	data, domain, node, topology, ca string
	addresses                        []netip.Addr
	offset                           int
}

// initResult is what init made, for printing.
type initResult struct {
	data    string
	node    topology.FQDN
	domains []topology.FQDN
	cert    cert.Request
	until   time.Time
	offset  int
	ca      string
	pages   string // address of the administration pages, empty when the node has none
}

func (o *initOptions) run() (*initResult, error) {
	snap, self, err := o.plan()
	if err != nil {
		return nil, err
	}
	machine, ok := snap.Node(self)
	if !ok {
		return nil, fmt.Errorf("the topology has no server %s: name one of %s with --node", self, nodeNames(snap))
	}
	for _, name := range []string{config.FileName, topology.FileName, "topology", "ca", "certs"} {
		switch _, err := os.Lstat(filepath.Join(o.data, name)); {
		case err == nil:
			return nil, fmt.Errorf("%s already exists: this directory belongs to a node, and init overwrites nothing", filepath.Join(o.data, name))
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	cfg := config.Default()
	cfg.Node.FQDN = self
	cfg.Listen.Offset = o.offset
	cfg.Listen.Addresses = o.listenAddresses()
	file := config.Format(cfg, node.Sections()...)
	if _, err := node.CheckConfig(config.FileName, file); err != nil {
		return nil, err
	}

	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, err
	}
	now := time.Now()
	ca, err := o.authority(snap, now)
	if err != nil {
		return nil, err
	}
	if err := ca.Save(o.data); err != nil {
		return nil, err
	}
	request := cert.ForNode(snap, machine, o.addresses...)
	if err := cert.IssueNode(o.data, ca, request, now); err != nil {
		return nil, err
	}
	if _, err := topology.CreateStore(o.data, snap.Text()); err != nil {
		return nil, err
	}
	// The node file comes last: a directory without it is not a node yet.
	if err := os.WriteFile(filepath.Join(o.data, config.FileName), file, 0o600); err != nil {
		return nil, err
	}
	pages := ""
	if machine.Has(topology.RoleFrontEnd) {
		pages = "https://" + string(self)
		if port := porttable.Offset(443, o.offset); port != 443 {
			pages += fmt.Sprintf(":%d", port)
		}
		pages += adminweb.Path
	}
	return &initResult{pages: pages, data: o.data, node: self, domains: snap.Domains(), cert: request, until: now.Add(cert.NodeLife),
		offset: o.offset, ca: o.ca}, nil
}

// plan is the topology of the new node and its name in it, checked.
func (o *initOptions) plan() (*topology.Snapshot, topology.FQDN, error) {
	var node topology.FQDN
	if o.node != "" {
		if err := node.UnmarshalText([]byte(o.node)); err != nil {
			return nil, "", fmt.Errorf("--node: %w", err)
		}
	}
	if o.offset != 0 && (o.offset < 1024 || o.offset > 60000) {
		return nil, "", fmt.Errorf("--offset %d: ports below 1024 would stay below, or leave the range; use 1024 to 60000", o.offset)
	}
	var snap *topology.Snapshot
	if o.topology != "" {
		if o.domain != "" {
			return nil, "", errors.New("--domain and --topology exclude each other: the domains are in the topology")
		}
		var err error
		if snap, err = topology.Load(o.topology); err != nil {
			return nil, "", err
		}
		if node == "" {
			return nil, "", fmt.Errorf("which server is this? Name one of %s with --node", nodeNames(snap))
		}
	} else {
		if o.domain == "" || len(o.addresses) == 0 {
			return nil, "", errors.New("a node needs --domain and --address, for example --domain example.test --address 127.0.0.1")
		}
		domain, err := topology.ParseFQDN(o.domain)
		if err != nil {
			return nil, "", fmt.Errorf("--domain: %w", err)
		}
		if node == "" {
			node = "server." + domain
		}
		text := append([]byte(topologyHeader), topology.Format(topology.Single(domain, node, o.addresses...))...)
		if snap, err = topology.Parse(topology.FileName, text); err != nil {
			return nil, "", err
		}
	}
	if problems := snap.Validate(); topology.Failed(problems) {
		return nil, "", &topology.InvalidError{Problems: problems}
	}
	return snap, node, nil
}

// listenAddresses are those given, unless they are not all of this machine, as behind address translation:
// then the node listens on every address.
func (o *initOptions) listenAddresses() []netip.Addr {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range o.addresses {
		found := a.IsLoopback()
		for _, i := range own {
			if p, err := netip.ParsePrefix(i.String()); err == nil && p.Addr() == a {
				found = true
			}
		}
		if !found {
			return nil
		}
	}
	return o.addresses
}

func (o *initOptions) authority(snap *topology.Snapshot, now time.Time) (*cert.CA, error) {
	if o.ca == "" {
		return cert.NewCA("Parley internal CA of "+string(snap.DefaultDomain()), now)
	}
	ca, err := cert.LoadCA(o.ca)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--ca %s: there is no CA key: %w", o.ca, err)
	}
	return ca, err
}

func nodeNames(s *topology.Snapshot) string {
	var names []string
	for _, m := range s.Machines() {
		if m.Pool != nil {
			names = append(names, string(m.FQDN))
		}
	}
	return strings.Join(names, ", ")
}

func (r *initResult) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Made a node in %s:\n", r.data)
	fmt.Fprintf(&b, "  %-16s %s\n", config.FileName, "this node, "+string(r.node))
	fmt.Fprintf(&b, "  %-16s the deployment; domains %s\n", topology.FileName, join(r.domains))
	from := ""
	if r.ca != "" {
		from = ", that of " + r.ca
	}
	fmt.Fprintf(&b, "  %-16s internal CA%s; phones and servers trust ca/ca.crt\n", "ca/", from)
	fmt.Fprintf(&b, "  %-16s certificate until %s, renewed by itself, for\n", "certs/", r.until.Format(time.DateOnly))
	for _, n := range r.cert.Names {
		fmt.Fprintf(&b, "  %-16s   %s\n", "", n)
	}
	for _, a := range r.cert.Addresses {
		fmt.Fprintf(&b, "  %-16s   %s\n", "", a)
	}
	if r.offset != 0 {
		fmt.Fprintf(&b, "\nPorts below 1024 are shifted by %d: 443 becomes %d. All others stay as planned.\n", r.offset, porttable.Offset(443, r.offset))
	} else if os.Geteuid() != 0 {
		fmt.Fprintf(&b, "\nPorts below 1024 need privileges. To run without, set offset in the [listen] section of %s.\n", config.FileName)
	}
	user := "alice@" + string(r.domains[0])
	fmt.Fprintf(&b, "\nNext:\n  parley user add %s --password-stdin --role administrator --data %s\n  parley serve --data %s\n", user, r.data, r.data)
	if r.pages != "" {
		fmt.Fprintf(&b, "\nAdministration: %s as %s; users without --role are not let in there.\n", r.pages, user)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

// printProblems writes what a check found, one line each.
func printProblems(w io.Writer, problems []topology.Problem) {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
}

// documentErrors are the complaints of a strict reader as problems, so that they print like all others.
func documentErrors(err error) ([]topology.Problem, bool) {
	var errs tomlfile.Errors
	var invalid *topology.InvalidError
	switch {
	case errors.As(err, &errs):
		var out []topology.Problem
		for _, e := range errs {
			out = append(out, topology.Problem{Severity: topology.Failure, Place: e.Place, Text: e.Text, Fix: e.Fix})
		}
		return out, true
	case errors.As(err, &invalid):
		return invalid.Problems, true
	}
	return nil, false
}
