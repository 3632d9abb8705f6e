package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"parley/test/kamailio"
	"parley/test/phone"
	"parley/test/server"
)

const (
	domain   = "example.test"
	password = "bench-secret"
)

// subject is a server to measure.
type subject struct {
	name    string
	version string
	command string // how it is started, for the report
	start   func(ctx context.Context) (*running, error)
}

// running is a subject that is up.
type running struct {
	group   int    // process group
	tls5061 string // address of its TLS port
	tls     *tls.Config
	atOnce  int // users who may sign in at one time
	stop    func()
	log     func() string
	profile func(file string, seconds int) error // nil when there is none
}

func (s *settings) accounts() []phone.Account {
	var as []phone.Account
	for i := range s.users {
		as = append(as, account(i))
	}
	return as
}

func newSubject(ctx context.Context, name string, s *settings, dir string) (*subject, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	switch name {
	case "parley":
		return newParley(ctx, s, dir)
	case "kamailio":
		return newKamailio(s, dir)
	}
	return nil, fmt.Errorf("no server %q", name)
}

// newParley makes one data directory with all users; each start serves it.
func newParley(ctx context.Context, s *settings, dir string) (*subject, error) {
	o := server.Options{Dir: filepath.Join(dir, "data"), Domain: domain, Users: s.accounts()}
	if s.profile != "" {
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
	sub := &subject{name: "Parley", version: strings.TrimSpace(version), command: "parley serve, as init leaves it, with SQLite"}
	sub.start = func(ctx context.Context) (*running, error) {
		if err := p.Serve(ctx); err != nil {
			return nil, err
		}
		r := &running{group: p.Group(), tls5061: p.At("tls").String(), tls: conf, atOnce: 8, stop: p.Kill, log: p.Log}
		if s.profile != "" {
			st, err := p.Status(ctx)
			if err != nil {
				return nil, err
			}
			r.profile = func(file string, seconds int) error {
				return fetch(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", st.AdminHTTP, seconds), file)
			}
		}
		return r, nil
	}
	return sub, nil
}

// newKamailio is Kamailio as in the SIP benchmark, with its presence server in memory.
func newKamailio(s *settings, dir string) (*subject, error) {
	version, err := kamailio.Version()
	if err != nil {
		return nil, err
	}
	sub := &subject{name: "Kamailio", version: version}
	sub.start = func(ctx context.Context) (*running, error) {
		k, err := kamailio.Start(ctx, kamailio.Options{Domain: domain, Dir: dir, Users: s.accounts(), Children: 2, TCPChildren: 2, Touch: true, Presence: true})
		if err != nil {
			return nil, err
		}
		sub.command = k.Command + ", publications and subscriptions in memory"
		// Overlapping handshakes make this version crash now and then, with OpenSSL 3.
		return &running{group: k.Group(), tls5061: k.TLS.String(), tls: &tls.Config{InsecureSkipVerify: true}, atOnce: 1, stop: k.Stop, log: k.Log}, nil
	}
	return sub, nil
}

func fetch(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		return err
	}
	return f.Close()
}
