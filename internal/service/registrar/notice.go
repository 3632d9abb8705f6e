package registrar

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/diag"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/uc"
)

// Lync-protocol clients ask with their REGISTER to be told when the server ends
// it ([MS-SIPREGE] 3.1.2, 2.2.1.13): a NOTIFY to the contact, after which the
// client signs out and shows its user why.

// notice is why a registration was ended.
type notice struct {
	event  string  // as clients know it
	report diag.ID // 0: the event says it all
}

var (
	// crowdedOut is for the endpoint that makes room for one more.
	crowdedOut = notice{"unregistered", 0}
	// switchedOff is for a user who was disabled or removed.
	switchedOff = notice{"rejected", diag.UserDisabled}
	// goElsewhere is for everybody when the server goes and another member of
	// the pool takes its users: it asks the client to register anew. Without
	// another member nothing is said: clients that lose the connection try
	// again by themselves, and those that were signed out may not.
	goElsewhere = notice{"deactivated", 0}
)

// errEnded is what connections end with whose client was signed out.
var errEnded = errors.New("signed out by the server")

// tell sends the notice to those of the endpoints that asked for it. With hangUp
// the connection goes as well, when the client has answered or does not: its
// session is over. The bindings are no longer in the table.
func (r *Registrar) tell(ended []*binding.Binding, why notice, hangUp bool) {
	for _, b := range ended {
		if !b.Notices || b.Flow == nil || b.Flow.Closed() {
			continue
		}
		r.counts.told.Inc()
		f := b.Flow
		r.host.SIP.Request(r.noticeTo(b, why), stack.Destination{Flow: f}, func(_ *stack.ClientTxn, m *sip.Message, err error) {
			over := err != nil || m.StatusCode() >= 200
			// What others registered over the same connection goes on, and so does
			// the connection of a proxy in between.
			if over && hangUp && b.Path == "" && !f.Identity().Class.Server() && !r.table.Uses(f) {
				f.Close(errEnded)
			}
		})
	}
}

// noticeTo writes the NOTIFY for one endpoint, without Via, which the stack adds.
func (r *Registrar) noticeTo(b *binding.Binding, why notice) []byte {
	const body = "deregistered;event="
	var w strings.Builder
	w.WriteString("NOTIFY " + b.Contact + " SIP/2.0\r\n")
	if b.Path != "" {
		w.WriteString("Route: " + b.Path + "\r\n")
	}
	address := "<" + string(appendAddress(nil, b.AOR)) + ">"
	w.WriteString("Max-Forwards: 70\r\n")
	w.WriteString("From: " + address + ";tag=" + rand.Text()[:10] + "\r\n")
	w.WriteString("To: " + address)
	if b.EPID != "" {
		w.WriteString(";epid=" + b.EPID)
	}
	w.WriteString("\r\nCall-ID: " + b.CallID + "\r\nCSeq: 1 NOTIFY\r\n")
	w.WriteString("Contact: <sip:" + r.host.SIP.HostPort(b.Flow) + ";transport=" + strings.ToLower(b.Flow.Transport().String()) + ">\r\n")
	w.WriteString("Event: registration-notify\r\nsubscription-state: terminated;expires=0\r\n")
	if why.report != 0 {
		h := why.report.Header("", "") // a request carries the public report only
		w.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	w.WriteString("Content-Type: text/registration-event\r\nContent-Length: ")
	w.WriteString(strconv.Itoa(len(body) + len(why.event)))
	w.WriteString("\r\n\r\n" + body + why.event)
	return []byte(w.String())
}

func appendAddress(dst []byte, aor uc.AOR) []byte {
	dst = sip.AppendEscape(append(dst, "sip:"...), aor.User())
	return append(append(dst, '@'), aor.Domain()...)
}

// sendElsewhere ends the registrations of those who asked to be told, while the
// server drains: not all at once, since all come to the other members.
func (r *Registrar) sendElsewhere(ctx context.Context) error {
	const perSecond = 1000
	var users []uc.AOR
	for aor := range r.table.Each {
		users = append(users, aor)
	}
	pause := time.NewTicker(time.Second / 10)
	defer pause.Stop()
	n := 0
	for _, aor := range users {
		var ended []*binding.Binding
		r.table.Update(aor, func(own []*binding.Binding) []*binding.Binding {
			kept := own[:0:0]
			ended = ended[:0]
			for _, b := range own {
				if b.Notices {
					ended = append(ended, b)
				} else {
					kept = append(kept, b)
				}
			}
			if len(ended) == 0 {
				return own
			}
			return kept
		})
		r.tell(ended, goElsewhere, false)
		if n += len(ended); n >= perSecond/10 {
			n = 0
			select {
			case <-pause.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
