package adminapi_test

import (
	"net/http"
	"strings"
	"testing"

	"parley/internal/service/adminapi"
)

func TestGroupIsMadeChangedAndRemoved(t *testing.T) {
	n, c := start(t)
	n.AddUsers("alice", "bob")
	ctx := t.Context()
	var g adminapi.Group
	tag, err := c.Do(ctx, http.MethodPut, "/groups/team@example.test", "*", adminapi.GroupChange{Name: text("Team"), Members: &[]string{"bob@example.test"}}, &g)
	if err != nil || g.Address != "team@example.test" || strings.Join(g.Members, " ") != "bob@example.test" {
		t.Fatalf("add: %v %+v", err, g)
	}
	newer, err := c.Do(ctx, http.MethodPatch, "/groups/team@example.test", tag, adminapi.GroupChange{Add: []string{"alice@example.test"}}, &g)
	if err != nil || newer == tag || strings.Join(g.Members, " ") != "bob@example.test alice@example.test" || g.Name != "Team" {
		t.Fatalf("change: %v %+v", err, g)
	}
	var people adminapi.People
	if err := c.Get(ctx, "/groups/team@example.test/people?max=1", &people); err != nil || !people.More || strings.Join(people.Users, " ") != "bob@example.test" {
		t.Errorf("people: %v %+v", err, people)
	}
	var all []adminapi.Group
	if err := c.Get(ctx, "/groups", &all); err != nil || len(all) != 1 {
		t.Errorf("list: %v %+v", err, all)
	}
	for _, x := range []struct {
		method, path, etag string
		in                 any
		status             int
		id                 string
	}{
		{"PUT", "/groups/team@example.test", "*", adminapi.GroupChange{}, 409, "address-taken"},
		{"PUT", "/groups/alice@example.test", "*", adminapi.GroupChange{}, 409, "address-taken"},
		{"PUT", "/groups/x@example.test", "", adminapi.GroupChange{}, 428, "need-if-none-match"},
		{"PUT", "/groups/x@example.test", "*", adminapi.GroupChange{Members: &[]string{"nobody@example.test"}}, 422, "bad-group"},
		{"PUT", "/groups/x@example.test", "*", map[string]int{"colour": 1}, 400, "bad-json"},
		{"PATCH", "/groups/team@example.test", tag, adminapi.GroupChange{}, 412, "user-changed"},
		{"PATCH", "/groups/team@example.test", "", adminapi.GroupChange{}, 428, "need-if-match"},
		{"PATCH", "/groups/x@example.test", "*", adminapi.GroupChange{}, 404, "no-group"},
		{"DELETE", "/groups/team@example.test", tag, nil, 412, "user-changed"},
		{"GET", "/groups/team", "", nil, 400, "bad-address"},
		{"GET", "/groups/team@example.test/people?max=1001", "", nil, 400, "bad-max"},
	} {
		if p := problem(t, c, x.method, x.path, x.etag, x.in); p.Status != x.status || p.ID != x.id {
			t.Errorf("%s %s: %d %s (%s), want %d %s", x.method, x.path, p.Status, p.ID, p.Message, x.status, x.id)
		}
	}
	if _, err := c.Do(ctx, http.MethodDelete, "/groups/team@example.test", newer, nil, nil); err != nil {
		t.Fatal(err)
	}
	var log []adminapi.AuditRecord
	if err := c.Get(ctx, "/audit?object=team@example.test", &log); err != nil || len(log) != 3 || log[0].Action != "group.remove" {
		t.Errorf("audit: %v %+v", err, log)
	}
}
