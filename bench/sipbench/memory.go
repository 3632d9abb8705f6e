package main

import (
	"context"
	"fmt"

	"parley/test/phone"
	"parley/test/procstat"
	"parley/test/sipp"
)

// measureMemory signs phones in, each on a connection or socket of its own, and divides what the server grew
// by. Shared pages are divided among the processes that map them (PSS), which is fair to a server of many
// processes.
func measureMemory(ctx context.Context, s *settings, subjects []*subject, t *table) error {
	for _, transport := range s.transports {
		for _, sub := range subjects {
			bytes, err := perPhone(ctx, s, sub, transport)
			if err != nil {
				return fmt.Errorf("%s, memory on %s: %w", sub.name, transport, err)
			}
			t.set("memory "+transport, sub.name, bytes/1024, false)
			progress("%s %s: %.1f KiB a phone", sub.name, transport, bytes/1024)
		}
	}
	return nil
}

func perPhone(ctx context.Context, s *settings, sub *subject, transport string) (float64, error) {
	r, err := sub.start(ctx, false)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	accounts := sipp.Accounts("user", s.phones, domain, password)
	// A few phones first, so that what every server allocates once is not counted.
	first, rest := accounts[:s.phones/20], accounts[s.phones/20:]
	warm, err := signIn(ctx, r, transport, first)
	defer hangUp(warm)
	if err != nil {
		return 0, err
	}
	before, err := procstat.Group(r.group, true)
	if err != nil {
		return 0, err
	}
	phones, err := signIn(ctx, r, transport, rest)
	defer hangUp(phones)
	if err != nil {
		return 0, fmt.Errorf("%w; the server's log:\n%s", err, r.log())
	}
	after, err := procstat.Group(r.group, true)
	if err != nil {
		return 0, err
	}
	return float64(after.PSS-before.PSS) / float64(len(rest)), nil
}

// signIn registers every account on a connection of its own, one after the other: Kamailio 5.6 with OpenSSL 3
// crashes now and then when handshakes overlap in its worker processes.
func signIn(ctx context.Context, r *running, transport string, accounts []phone.Account) ([]*phone.Phone, error) {
	var phones []*phone.Phone
	for _, a := range accounts {
		p, err := phone.Dial(ctx, a, transport, r.at(transport).String(), r.tls)
		if err != nil {
			return phones, err
		}
		phones = append(phones, p)
		if err := p.Register(ctx, 3600); err != nil {
			return phones, err
		}
	}
	return phones, nil
}

func hangUp(phones []*phone.Phone) {
	for _, p := range phones {
		p.Close()
	}
}
