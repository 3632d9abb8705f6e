package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"parley/test/kamailio"
	"parley/test/phone"
	"parley/test/server"
	"parley/test/sipp"
)

const (
	domain   = "example.test"
	password = "bench-secret"
)

// subject is a server to measure. It is started afresh for each figure, so that nothing a run left behind
// counts against the next.
type subject struct {
	name    string
	version string
	command string // how it is started, for the report
	// start with touch lets memory be taken before work is measured, where the server knows how.
	start func(ctx context.Context, touch bool) (*running, error)
}

// running is a subject that is up.
type running struct {
	group int // process group
	at    func(transport string) netip.AddrPort
	tls   *tls.Config
	ready time.Duration
	stop  func()
	log   func() string
	// profile is where profiles are had, empty when they are not wanted.
	profile string
}

// accounts of a run. Callers and callees are of one transport each: a user who is signed in over two would
// be called on both.
func benchUsers(s *settings) []phone.Account {
	users := sipp.Accounts("user", max(s.users, s.phones), domain, password)
	for _, t := range transports {
		users = append(users, callers(t)...)
		users = append(users, callees(t)...)
	}
	return users
}

func callers(transport string) []phone.Account {
	return sipp.Accounts("caller-"+transport, 1, domain, password)
}

func callees(transport string) []phone.Account {
	return sipp.Accounts("callee-"+transport, 50, domain, password)
}

func newSubject(ctx context.Context, name string, s *settings, dir string) (*subject, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	switch name {
	case "kamailio":
		return newKamailio(s, dir)
	case "parley":
		return newParley(ctx, s, dir)
	}
	return nil, fmt.Errorf("no server %q", name)
}

func newKamailio(s *settings, dir string) (*subject, error) {
	version, err := kamailio.Version()
	if err != nil {
		return nil, err
	}
	sub := &subject{name: "Kamailio", version: version}
	sub.start = func(ctx context.Context, touch bool) (*running, error) {
		k, err := kamailio.Start(ctx, kamailio.Options{
			Domain: domain, Dir: dir, Users: benchUsers(s), Children: s.children, TCPChildren: s.children, Touch: touch,
		})
		if err != nil {
			return nil, err
		}
		sub.command = k.Command
		return &running{
			group: k.Group(), ready: k.Ready, stop: k.Stop, log: k.Log, tls: &tls.Config{InsecureSkipVerify: true},
			at: func(transport string) netip.AddrPort {
				return map[string]netip.AddrPort{"udp": k.UDP, "tcp": k.TCP, "tls": k.TLS}[transport]
			},
		}, nil
	}
	return sub, nil
}

// newParley makes one data directory with all users; each start serves it.
func newParley(ctx context.Context, s *settings, dir string) (*subject, error) {
	o := server.Options{Dir: filepath.Join(dir, "data"), Domain: domain, Users: benchUsers(s),
		Config: map[string]any{"auth": map[string]any{"algorithms": []string{"MD5"}}}} // Debian's SIPp knows no other, and Kamailio checks the same
	if s.profiles != "" {
		o.Args = []string{"--pprof"}
	}
	p, err := server.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.Stop(); err != nil {
		return nil, err
	}
	conf, err := p.TLS()
	if err != nil {
		return nil, err
	}
	version, err := p.CLI(ctx, "", "version")
	if err != nil {
		return nil, err
	}
	return &subject{
		name: "Parley", version: version, command: "parley serve, as init leaves it but for algorithms = [\"MD5\"]",
		start: func(ctx context.Context, _ bool) (*running, error) {
			if err := p.Serve(ctx); err != nil {
				return nil, err
			}
			r := &running{group: p.Group(), at: p.At, tls: conf, ready: p.Ready, stop: p.Kill, log: p.Log}
			if s.profiles != "" {
				st, err := p.Status(ctx)
				if err != nil {
					p.Kill()
					return nil, err
				}
				r.profile = "http://" + st.AdminHTTP + "/debug/pprof/profile"
			}
			return r, nil
		},
	}, nil
}
