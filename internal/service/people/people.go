// Package people finds users for clients that have no address book service: the
// SOAP method directorySearch in a SERVICE request to the domain ([MS-SIP]).
package people

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"parley/internal/directory"
	"parley/internal/lane"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/soap"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:    "people",
	Doc:     "Search for people by SIP.",
	Roles:   []topology.Role{topology.RoleFrontEnd},
	Needs:   service.NeedSIP | service.NeedDirectory,
	Handles: []string{"SERVICE domain"},
	Build:   func(h service.Host) (service.Service, error) { return New(h), nil },
}

const (
	most     = 100 // people in one answer
	maxValue = 128
)

// Service is the running service. It looks at every user, so it does that outside
// the readers, one search of a user at a time.
type Service struct {
	host      service.Host
	searching *lane.Set[uc.AOR]
}

// New builds the service. It starts nothing.
func New(h service.Host) *Service {
	return &Service{h, lane.New[uc.AOR](lane.Config{PerKey: 4, Total: 1024, OnPanic: func(key any, err *lane.PanicError) {
		h.Log.Error("people: panic", "user", key, "err", err, "stack", string(err.Stack))
	}})}
}

// Start has nothing to acquire.
func (*Service) Start(context.Context) error { return nil }

// Drain has nothing to finish.
func (*Service) Drain(context.Context) error { return nil }

// Stop ends the searches.
func (s *Service) Stop(ctx context.Context) error { return s.searching.Stop(ctx) }

// ServeSIP answers a search.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	if err := s.search(tx); err != nil {
		tx.Fail(err)
	}
}

func (s *Service) search(tx *stack.ServerTxn) error {
	m := tx.Request()
	if tx.Identity().Class != uc.Client && !tx.Identity().Class.Server() {
		return &sip.Error{Code: 403}
	}
	if t, ok := m.ContentType(); !ok || !t.Is(soap.MediaType) {
		return &sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: soap.MediaType}}}
	}
	r, err := soap.Parse(m.Body())
	if err != nil {
		return &sip.Error{Code: 400, Reason: "Bad SOAP Request", Err: err}
	}
	if r.Method != "directorySearch" {
		return &sip.Error{Code: 501, Diagnostic: "unknown method"}
	}
	limit, err := strconv.Atoi(r.Arg("maxResults"))
	if err != nil || limit < 1 || limit > most {
		limit = most
	}
	tx.Retain()
	err = s.searching.Do(tx.Identity().AOR, func(context.Context) {
		found, more := Find(s.host.Directory.List(), r.Rows, limit)
		tx.RespondBody(200, "", soap.MediaType, soap.AppendFound(nil, found, more))
	})
	if err != nil {
		return &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: "5"}}}
	}
	return nil
}

// Find returns the enabled users for whom all rows hold, in the order of their
// addresses, and whether there are more. A row that asks for what the directory
// does not know holds for nobody. Without rows nobody is found.
func Find(users []*directory.User, rows []soap.Row, limit int) (found []soap.Person, more bool) {
	if len(rows) == 0 {
		return nil, false
	}
	var hits []*directory.User
	for _, u := range users {
		if u.Enabled && all(u, rows) {
			hits = append(hits, u)
		}
	}
	slices.SortFunc(hits, func(a, b *directory.User) int { return strings.Compare(string(a.AOR), string(b.AOR)) })
	if more = len(hits) > limit; more {
		hits = hits[:limit]
	}
	for _, u := range hits {
		found = append(found, person(u))
	}
	return found, more
}

func all(u *directory.User, rows []soap.Row) bool {
	for _, r := range rows {
		if !holds(u, r) {
			return false
		}
	}
	return true
}

// holds reports whether a row is true of a user: names and addresses are compared
// by how they begin, without case.
func holds(u *directory.User, r soap.Row) bool {
	v := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(r.Value), "*"))
	return v != "" && len(v) <= maxValue && u.Begins(r.Attrib, v)
}

func person(u *directory.User) soap.Person {
	c := &u.Profile
	p := soap.Person{URI: u.AOR.URI(), DisplayName: u.DisplayName(), Title: c.Title, Office: c.Office, Company: c.Company,
		City: c.City, State: c.State, Country: c.Country, Email: u.Mail()}
	if phones := u.Attribute("telephoneNumber"); len(phones) > 0 {
		p.Phone = strings.TrimPrefix(phones[0], "tel:")
	}
	return p
}
