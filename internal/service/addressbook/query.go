package addressbook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/abquery"
)

// maxBody bounds a request: a ticket and a query.
const maxBody = 48 << 10

// query answers SearchAbEntry. bearer says that the ticket must be in the SOAP header.
func (s *Service) query(w http.ResponseWriter, r *http.Request, bearer bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return // the client has gone
	}
	ticket, envelope, err := s.host.Web.Tickets.Header(body, s.host.Now(), audiences...)
	var user *directory.User
	switch {
	case envelope == nil:
		webticket.Fault(w, diag.WebRequest, "the request is no SOAP envelope")
		return
	case err == webticket.ErrNone && !bearer:
		var ok bool
		if user, ok = s.user(w, r); !ok {
			return
		}
	case err != nil:
		webticket.Fault(w, webticket.Report(err), err.Error())
		return
	default:
		var ok bool
		if user, ok = s.host.Directory.Lookup(ticket.AOR); !ok || !user.Enabled {
			webticket.Fault(w, diag.WebNoTicket, "the user is disabled")
			return
		}
	}
	var op *xmldoc.Element
	if b := envelope.Kid("Body"); b != nil {
		for e := range b.Kids {
			op = e
			break
		}
	}
	if op != nil && op.Name.Local != abquery.Operation {
		webticket.Fault(w, diag.WebRequest, "this server does not have the operation "+op.Name.Local)
		return
	}
	q, err := abquery.Parse(op)
	if err != nil {
		webticket.Fault(w, diag.WebRequest, err.Error())
		return
	}
	found := make(chan []abquery.Entry, 1)
	err = s.searching.Do(user.AOR, func(context.Context) { found <- s.search(q) })
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many searches", http.StatusServiceUnavailable)
		return
	}
	select {
	case entries := <-found:
		b := []byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`)
		b = abquery.AppendAnswer(b, entries)
		webticket.Write(w, http.StatusOK, append(b, `</s:Body></s:Envelope>`...))
	case <-r.Context().Done():
	}
}

// search returns the enabled users for whom the query holds, sorted by address, and then groups.
func (s *Service) search(q *abquery.Query) []abquery.Entry {
	set := s.settings.Load()
	limit := set.MaxResults
	if q.Max > 0 {
		limit = min(limit, q.Max)
	}
	m, ok := newMatcher(q, set.KeypadSearch)
	if !ok {
		return nil
	}
	var users []*directory.User
	for _, u := range s.host.Directory.List() { // sorted
		if u.Enabled && m.user(u) {
			if users = append(users, u); len(users) == limit {
				break
			}
		}
	}
	names := q.Return
	if len(names) == 0 {
		names = usual
	}
	var out []abquery.Entry
	for _, u := range users {
		out = append(out, entry(names, func(name string) []string { return userAttribute(u, name) }))
	}
	for _, g := range s.host.Directory.Groups() {
		if len(out) == limit {
			break
		}
		if m.holds(func(name, value string) bool { return groupBegins(g, name, value) }) {
			out = append(out, entry(names, func(name string) []string { return groupAttribute(g, name) }))
		}
	}
	return out
}

// usual are the attributes for a client that names none.
var usual = []string{"displayName", "msRTCSIP-PrimaryUserAddress", "mail", "title", "company", "department", "physicalDeliveryOfficeName",
	"telephoneNumber", "homePhone", "mobile", "otherTelephone"}

// lists are attributes that are printed as lists even when they have one value.
var lists = map[string]bool{"telephonenumber": true, "homephone": true, "mobile": true, "othertelephone": true}

func entry(names []string, of func(name string) []string) abquery.Entry {
	var e abquery.Entry
	for _, name := range names {
		if slices.ContainsFunc(e, func(a abquery.Attribute) bool { return strings.EqualFold(a.Name, name) }) {
			continue
		}
		if values := of(name); len(values) > 0 {
			e = append(e, abquery.Attribute{Name: name, Values: values, Multi: lists[strings.ToLower(name)]})
		}
	}
	return e
}

func userAttribute(u *directory.User, name string) []string {
	if u.PhotoHash != "" {
		switch strings.ToLower(name) {
		case "photorelpath":
			return []string{u.PhotoName()}
		case "photosize":
			return []string{strconv.Itoa(u.PhotoSize)}
		case "photohash":
			return []string{u.PhotoHash}
		}
	}
	return u.Attribute(name)
}

// universalGroup is the type of a distribution list in Active Directory ([MS-ADTS] 2.2.12).
const universalGroup = "8"

func groupAttribute(g *directory.Group, name string) []string {
	switch strings.ToLower(name) {
	case "displayname", "cn":
		if g.Name == "" {
			return []string{g.Address.User()}
		}
		return []string{g.Name}
	case "mail":
		return []string{string(g.Address)}
	case "mailnickname":
		return []string{g.Address.User()}
	case "description":
		if g.Description != "" {
			return []string{g.Description}
		}
	case "grouptype":
		return []string{universalGroup}
	}
	return nil
}

func groupBegins(g *directory.Group, name, value string) bool {
	for _, v := range groupAttribute(g, name) {
		if strings.HasPrefix(strings.ToLower(v), value) {
			return true
		}
	}
	return false
}

// matcher says for whom a query holds. Its values are in lower case and not empty.
type matcher struct {
	rows    []abquery.Row
	basic   *abquery.Basic
	dialPad bool
}

func newMatcher(q *abquery.Query, keypad bool) (m matcher, ok bool) {
	clean := func(v string) string { return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(v), "*")) }
	if m.dialPad = q.DialPad; m.dialPad && !keypad {
		return m, false
	}
	for _, r := range q.Rows {
		r.Value = clean(r.Value)
		if r.Value == "" {
			return m, false
		}
		m.rows = append(m.rows, r)
	}
	if q.Basic != nil {
		m.basic = &abquery.Basic{Attributes: q.Basic.Attributes, Value: clean(q.Basic.Value)}
		if m.basic.Value == "" {
			return m, false
		}
	}
	return m, true
}

func (m *matcher) user(u *directory.User) bool {
	return m.holds(func(name, value string) bool {
		return m.dialPad && u.DialsName(value) || u.Begins(name, value)
	})
}

func (m *matcher) holds(begins func(name, value string) bool) bool {
	if m.basic != nil {
		return slices.ContainsFunc(m.basic.Attributes, func(name string) bool { return begins(name, m.basic.Value) })
	}
	return !slices.ContainsFunc(m.rows, func(r abquery.Row) bool { return !begins(r.Attribute, r.Value) })
}

// metadata is the WSDL in which a client finds where tickets come from and where to ask with one.
func metadata(r *http.Request) []byte {
	base := "https://" + r.Host
	b := []byte(`<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"` +
		` xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy" xmlns:sp="http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"` +
		` xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd" xmlns:wsa10="http://www.w3.org/2005/08/addressing">` +
		`<wsp:Policy wsu:Id="AddressBookWebTicketBearer_policy"><wsp:ExactlyOne><wsp:All><sp:SignedSupportingTokens><wsp:Policy><sp:IssuedToken><sp:Issuer>`)
	b = xmldoc.AppendElement(b, "wsa10:Address", base+"/WebTicket/WebTicketService.svc")
	b = append(b, `</sp:Issuer></sp:IssuedToken></wsp:Policy></sp:SignedSupportingTokens></wsp:All></wsp:ExactlyOne></wsp:Policy>`+
		`<wsdl:service name="AddressBookService"><wsdl:port name="AddressBookWebTicketBearer"><soap:address`...)
	b = xmldoc.AppendAttr(b, "location", base+BearerPath)
	return append(b, `/></wsdl:port></wsdl:service></wsdl:definitions>`...)
}
