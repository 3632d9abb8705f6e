package resolve

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"parley/internal/flow"
)

// SRV returns the targets of the SRV records of a name, such as "_sipfederationtls._tcp.example.test", in the order
// to try (RFC 2782). It returns nothing and no error when there are no records. serverName is what the peer's
// certificate must show.
func (r *Resolver) SRV(ctx context.Context, name string, t flow.Transport, serverName string) ([]flow.Target, error) {
	rrs, err := r.ask(ctx, name, dns.TypeSRV)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var records []*dns.SRV
	for _, rr := range rrs {
		if s, ok := rr.(*dns.SRV); ok {
			records = append(records, s)
		}
	}
	if len(records) == 1 && records[0].Target == "." {
		return nil, ErrUnavailable
	}
	var all []flow.Target
	var failed error
	for _, s := range order(records, r.config.Rand) {
		ts, err := r.addresses(ctx, strings.ToLower(strings.TrimSuffix(s.Target, ".")), s.Port, t, serverName)
		all = append(all, ts...)
		failed = cmp.Or(failed, err)
	}
	if len(all) == 0 {
		return nil, failed
	}
	return all, nil
}

// order sorts SRV records by priority, and within one priority at random such that each comes first with a
// probability in proportion to its weight (RFC 2782, "Usage rules").
func order(records []*dns.SRV, rnd func(n int) int) []*dns.SRV {
	slices.SortStableFunc(records, func(a, b *dns.SRV) int {
		// Weight 0 goes first, so that such records have a chance at all.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Weight, b.Weight))
	})
	for from := 0; from < len(records); {
		to := from
		sum := 0
		for to < len(records) && records[to].Priority == records[from].Priority {
			sum += int(records[to].Weight)
			to++
		}
		for ; from < to; from++ {
			pick, running := rnd(sum+1), 0
			i := from
			for ; i < to-1; i++ {
				if running += int(records[i].Weight); running >= pick {
					break
				}
			}
			chosen := records[i]
			copy(records[from+1:i+1], records[from:i])
			records[from] = chosen
			sum -= int(chosen.Weight)
		}
	}
	return records
}
