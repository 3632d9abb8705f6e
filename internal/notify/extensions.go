package notify

import (
	"bytes"
	"strconv"

	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
)

// extensions are those of [MS-SIP] 3.3 to 3.6 that a subscriber offers. They do
// not depend on each other.
type extensions uint8

const (
	benotify extensions = 1 << iota
	piggyback
	autoextend
)

var extensionTags = [...]struct {
	bit extensions
	tag string
}{{benotify, "ms-benotify"}, {piggyback, "ms-piggyback-first-notify"}, {autoextend, "com.microsoft.autoextend"}}

func (e extensions) has(bit extensions) bool { return e&bit != 0 }

func offered(m *sip.Message) (e extensions) {
	for _, x := range extensionTags {
		if m.HasToken(sip.HSupported, x.tag) {
			e |= x.bit
		}
	}
	return e
}

// raw is a request without Via that is sent without a transaction.
type raw []byte

// AppendRequest puts our Via after the request line.
func (r raw) AppendRequest(dst []byte, hop stack.Hop) []byte {
	line := bytes.IndexByte(r, '\n') + 1
	dst = append(dst, r[:line]...)
	dst = append(append(append(dst, "Via: "...), hop.Via...), "\r\n"...)
	return append(dst, r[line:]...)
}

// answerExtended answers a SUBSCRIBE of a subscriber with extensions. Clients
// compare Supported values whole, so each has a line of its own, and believe a
// document only in an answer that has Event and subscription-state.
func (n *Notifier) answerExtended(tx *stack.ServerTxn, s *Subscription, e event.Effects) {
	state := "active;expires=" + seconds(e.Expires)
	if e.Done {
		state = "terminated;expires=0"
	}
	h := []sip.Header{{Name: "Expires", Value: seconds(e.Expires)}, {Name: "Contact", Value: n.contact(tx.Flow())},
		{Name: "Event", Value: s.event}, {Name: "subscription-state", Value: state}}
	h = append(h, s.require...)
	for _, x := range extensionTags {
		if s.ms.has(x.bit) {
			h = append(h, sip.Header{Name: "Supported", Value: x.tag})
		}
	}
	if e.Done && Known(tx.Request()) {
		e.Notify = event.NoNotify // who signs off does not want to know any more
	}
	if !s.ms.has(piggyback) || e.Notify == event.NoNotify {
		tx.Respond(200, "", h...)
		n.carryOut([]step{{s, e}})
		return
	}
	n.mu.Lock()
	s.changed = nil
	n.mu.Unlock()
	ctype, body := "", []byte(nil)
	if e.Notify != event.Blank {
		ctype, body = n.cfg.Document(s, e.Notify, nil)
	}
	n.mu.Lock()
	s.dialog.LocalSeq++
	cseq := s.dialog.LocalSeq
	n.mu.Unlock()
	if ctype != "" {
		h = append(h, sip.Header{Name: "ms-piggyback-cseq", Value: strconv.FormatUint(uint64(cseq), 10)})
	}
	tx.RespondBody(200, "", ctype, body, h...)
	e.Notify = event.NoNotify
	n.carryOut([]step{{s, e}})
	if !e.Done {
		n.step(s, event.Input{Kind: event.Answered, Code: 200})
	}
}
