package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley/internal/config"
	"parley/internal/media/opus"
	"parley/internal/node"
	"parley/internal/porttable"
	"parley/internal/service/adminapi"
)

// demoUsers are the people of the demo, with numbers reserved for fiction.
var demoUsers = []struct{ name, display, phone, role string }{
	{"alice", "Alice Example", "tel:+15550100", "administrator"},
	{"bob", "Bob Example", "tel:+15550101", ""},
	{"carol", "Carol Example", "tel:+15550102", ""},
	{"dave", "Dave Example", "tel:+15550103", ""},
}

const demoDomain = "example.test"

func demoCommand() *cobra.Command {
	d := demo{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a complete server with sample users, here and now",
		Long: `Run a complete server with sample users, here and now, and print where to point a phone.

It lives in a temporary directory that is removed at the end; with --data DIR it stays, and a later
demo with the same DIR goes on where this one ended. Ctrl-C ends it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("data") {
				d.dir = dataDir(cmd)
			}
			return d.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.address, "address", "127.0.0.1", "IP address to listen on; give one of this machine to use phones elsewhere in the network")
	f.StringVar(&d.password, "password", "", "password of all sample users (default: a random one)")
	f.StringArrayVar(&d.listen, "listen", nil, "as for parley serve")
	return cmd
}

// opusNote says which codec browsers are offered where the server has to convert.
func opusNote() string {
	if opus.Available() {
		return "Opus: " + opus.Version()
	}
	return "Opus: not in this build; browsers are offered G.722 and G.711. See docs/operate/codecs.md"
}

type demo struct {
	dir, address, password string
	listen                 []string
	temporary              bool
}

func (d *demo) run(cmd *cobra.Command) error {
	addr, err := netip.ParseAddr(d.address)
	if err != nil {
		return fmt.Errorf("--address %q: not an IP address", d.address)
	}
	overrides, err := listenOverrides(d.listen)
	if err != nil {
		return err
	}
	if _, ok := overrides["admin"]; !ok {
		overrides["admin"] = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "parley-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
		d.temporary = true
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if err := d.prepare(cmd, addr); err != nil {
		return err
	}
	var upErr error
	out := cmd.OutOrStdout()
	err = node.Run(cmd.Context(), node.Options{DataDir: d.dir, Version: version(), Stderr: cmd.ErrOrStderr(),
		LogLevel: "warn", Listen: overrides, DrainDeadline: 2 * time.Second}, func(n *node.Node) { upErr = d.print(out, n) })
	if d.temporary {
		fmt.Fprintln(out, "\nThe demo has ended; nothing is left of it.")
	}
	return errors.Join(err, portHint(err), upErr)
}

// portHint says what to do about the error that meets people most.
func portHint(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		return nil
	}
	return errors.New("is another SIP program running here? Stop it, or choose other ports: --listen srv-fe-frontend-5061=127.0.0.1:15061 --listen srv-fe-frontend-5060=127.0.0.1:15060 --listen ext-sip-udp-5060=127.0.0.1:15060")
}

// prepare makes the node and its users when they are not there yet.
func (d *demo) prepare(cmd *cobra.Command, addr netip.Addr) error {
	if _, err := os.Stat(filepath.Join(d.dir, config.FileName)); errors.Is(err, os.ErrNotExist) {
		o := initOptions{data: d.dir, domain: demoDomain, addresses: []netip.Addr{addr}}
		if _, err := o.run(); err != nil {
			return err
		}
	}
	off, err := node.OpenOffline(cmd.Context(), d.dir)
	if err != nil {
		return err
	}
	defer off.Close()
	client := adminapi.NewLocalClient(d.dir, off.Handler())
	if d.password == "" {
		d.password = strings.ToLower(rand.Text()[:12])
	}
	for _, u := range demoUsers {
		path, phones := userPath(u.name+"@"+demoDomain), []string{u.phone}
		display := u.display
		change := adminapi.UserChange{Name: &display, Phones: &phones, Role: &u.role, Password: &d.password}
		_, err := client.Do(cmd.Context(), http.MethodPut, path, "*", change, nil)
		var p *adminapi.Problem
		if errors.As(err, &p) && p.ID == "user-exists" {
			// Passwords are kept in a form that cannot be shown again, so a
			// demo that goes on gets new ones.
			_, err = client.Do(cmd.Context(), http.MethodPatch, path, "*", adminapi.UserChange{Role: &u.role, Password: &d.password}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) print(w io.Writer, n *node.Node) error {
	st := n.Status()
	var b strings.Builder
	site := ""
	fmt.Fprintf(&b, "\nParley runs. Point a phone at one of these:\n\n")
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  SERVER\tPORT\tTRANSPORT\tROW OF THE PORT PLAN")
	for _, l := range st.Listeners {
		host, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			return err
		}
		row := l.Row
		if l.Extension != "" {
			row = "beside the plan"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", host, port, strings.ToUpper(l.Transport), row)
		if l.Row == porttable.SrvFeWebcompat443 {
			site = "https://" + strings.TrimSuffix(l.Address, ":443")
		}
	}
	fmt.Fprintln(tw)
	fmt.Fprintln(tw, "  USER\tPASSWORD\tNUMBER\tADDRESS")
	for _, u := range demoUsers {
		fmt.Fprintf(tw, "  %s\t%s\t%s\tsip:%s@%s\n", u.name, d.password, strings.TrimPrefix(u.phone, "tel:"), u.name, demoDomain)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if site != "" {
		fmt.Fprintf(&b, "\n  In a browser        %s/client/ as any of them\n  Administration      %s/admin/ as %s\n", site, site, demoUsers[0].name)
	}
	ca := filepath.Join(d.dir, "ca", "ca.crt")
	self := "parley"
	if exe, err := os.Executable(); err == nil && !strings.Contains(exe, "go-build") {
		self = exe
	} else {
		self = "go run ./cmd/parley"
	}
	fmt.Fprintf(&b, "\n  %s\n", opusNote())
	fmt.Fprintf(&b, `
  Domain (realm)      %s
  CA certificate      %s
                      phones on TLS trust it, or do not check the server

To look at it, in another terminal:

  %[3]s status --data %[4]s
  %[3]s registrations --data %[4]s
  %[3]s trace --user alice@%[1]s --data %[4]s

Ctrl-C ends the demo.
`, demoDomain, ca, self, d.dir)
	_, err := io.WriteString(w, b.String())
	return err
}
