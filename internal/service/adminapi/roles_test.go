package adminapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/adminapi"
)

// web asks the interface as it is offered to the web site, by a service that hands it out.
type web struct {
	t   *testing.T
	api http.Handler
}

func startWeb(t *testing.T) (*nodetest.Node, *web) {
	w := &web{t: t}
	spec := service.Spec{Name: "web-door", Needs: service.NeedAdmin, Build: func(h service.Host) (service.Service, error) {
		w.api = h.Admin.API
		return door{}, nil
	}}
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{spec}})
	ctx := t.Context()
	for name, role := range map[string]string{"root": "administrator", "desk": "helpdesk", "eye": "viewer", "alice": ""} {
		password := nodetest.Password
		if _, err := n.Client().Do(ctx, http.MethodPut, "/users/"+name+"@example.test", "*", adminapi.UserChange{Role: &role, Password: &password}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return n, w
}

type door struct{}

func (door) Start(context.Context) error { return nil }
func (door) Drain(context.Context) error { return nil }
func (door) Stop(context.Context) error  { return nil }

var roleOf = map[string]string{"root": "administrator", "desk": "helpdesk", "eye": "viewer", "alice": ""}

// as sends a request in the name of a user and returns the status and the id of the refusal.
func (w *web) as(user, method, path, body string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/api/v1"+path, strings.NewReader(body))
	if method == http.MethodPut {
		r.Header.Set("If-None-Match", "*")
	} else {
		r.Header.Set("If-Match", "*")
	}
	if user != "" {
		a := service.Administrator{AOR: "", From: "192.0.2.7"}
		if err := json.Unmarshal([]byte(`"`+user+`@example.test"`), &a.AOR); err != nil {
			w.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(`"`+roleOf[user]+`"`), &a.Role); err != nil {
			w.t.Fatal(err)
		}
		r = r.WithContext(service.WithAdministrator(r.Context(), a))
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	var p struct{ ID string }
	b, _ := io.ReadAll(rec.Body)
	if rec.Code >= 400 && json.Unmarshal(b, &p) != nil {
		w.t.Errorf("%s %s: %d %s", method, path, rec.Code, b)
	}
	return rec.Code, p.ID
}

func TestRolesDecideWhatTheWebMayDo(t *testing.T) {
	n, w := startWeb(t)
	const patch, put, del = http.MethodPatch, http.MethodPut, http.MethodDelete
	for _, x := range []struct {
		user, method, path, body string
		status                   int
		id                       string
	}{
		{"", "GET", "/status", "", 401, "signed-out"}, // a request in nobody's name is not root's
		{"alice", "GET", "/status", "", 403, "role-forbids"},
		{"eye", "GET", "/status", "", 200, ""},
		{"eye", "GET", "/users", "", 200, ""},
		{"eye", "GET", "/audit", "", 200, ""},
		{"eye", "GET", "/trace", "", 403, "role-forbids"},
		{"eye", patch, "/users/alice@example.test", `{"name":"A"}`, 403, "role-forbids"},
		{"eye", put, "/users/new@example.test", `{}`, 403, "role-forbids"},
		{"eye", "PUT", "/topology", `{}`, 403, "role-forbids"},
		{"eye", "POST", "/reload", "", 403, "role-forbids"},
		{"eye", "POST", "/drain", "", 403, "role-forbids"},
		{"eye", "POST", "/services/replicator", "", 403, "role-forbids"},
		{"desk", "GET", "/trace", "", 200, ""},
		{"desk", "GET", "/trace?bodies=1", "", 403, "role-forbids"},
		{"desk", "GET", "/trace?credentials=1", "", 403, "role-forbids"},
		{"desk", patch, "/users/alice@example.test", `{"password":"another long one","enabled":true,"phones":["+15550100"]}`, 200, ""},
		{"desk", patch, "/users/desk@example.test", `{"name":"Desk"}`, 200, ""},
		{"desk", patch, "/users/root@example.test", `{"password":"mine from now on"}`, 403, "role-forbids"},
		{"desk", patch, "/users/eye@example.test", `{"enabled":false}`, 403, "role-forbids"},
		{"desk", patch, "/users/desk@example.test", `{"role":"administrator"}`, 403, "role-forbids"},
		{"desk", patch, "/users/alice@example.test", `{"role":"viewer"}`, 403, "role-forbids"},
		{"desk", patch, "/users/alice@example.test", `{"policy":{"voice":false}}`, 403, "role-forbids"},
		{"desk", patch, "/users/alice@example.test", `{"aliases":["root2@example.test"]}`, 403, "role-forbids"},
		{"desk", put, "/users/new@example.test", `{}`, 403, "role-forbids"},
		{"desk", del, "/users/alice@example.test", "", 403, "role-forbids"},
		{"desk", patch, "/groups/sales@example.test", `{}`, 403, "role-forbids"},
		{"root", patch, "/users/root@example.test", `{"role":""}`, 409, "own-account"},
		{"root", patch, "/users/root@example.test", `{"enabled":false}`, 409, "own-account"},
		{"root", del, "/users/root@example.test", "", 409, "own-account"},
		{"root", patch, "/users/root@example.test", `{"name":"Root","role":"administrator"}`, 200, ""},
		{"root", patch, "/users/eye@example.test", `{"role":"emperor"}`, 422, "bad-user"},
		{"root", put, "/users/new@example.test", `{"role":"viewer"}`, 201, ""},
		{"root", del, "/users/new@example.test", "", 204, ""},
		{"root", "GET", "/trace?bodies=1", "", 200, ""},
		{"root", "POST", "/reload", "", 200, ""},
		{"root", "GET", "/nothing", "", 404, "no-resource"},
	} {
		if status, id := w.as(x.user, x.method, x.path, x.body); status != x.status || id != x.id {
			t.Errorf("%s: %s %s %s: %d %s, want %d %s", x.user, x.method, x.path, x.body, status, id, x.status, x.id)
		}
	}

	// Who did it, and from where; what was refused changed nothing.
	var log []adminapi.AuditRecord
	if err := n.Client().Get(t.Context(), "/audit?who=desk@example.test", &log); err != nil {
		t.Fatal(err)
	}
	if len(log) != 2 || log[1].Object != "alice@example.test" || log[1].From != "192.0.2.7" || log[1].Action != "user.change" ||
		strings.Contains(string(log[1].Detail), "another long one") {
		t.Errorf("%+v", log)
	}
	var older []adminapi.AuditRecord
	if err := n.Client().Get(t.Context(), "/audit?action=user.add&max=2", &log); err != nil || len(log) != 2 {
		t.Fatalf("%v %+v", err, log)
	}
	before, _ := json.Marshal(log[1].ID)
	if err := n.Client().Get(t.Context(), "/audit?action=user.add&before="+string(before), &older); err != nil || len(older) == 0 || older[0].ID >= log[1].ID {
		t.Errorf("%v %+v", err, older)
	}
}

func TestUsersAreFoundAndCounted(t *testing.T) {
	n, c := start(t)
	for _, u := range []struct{ name, shown, phone string }{{"alice", "Alice Example", "+15550100"}, {"bob", "Bob", "+15550101"}, {"carol", "Carol Example", ""}} {
		phones := []string{}
		if u.phone != "" {
			phones = append(phones, u.phone)
		}
		if _, err := c.Do(t.Context(), http.MethodPut, "/users/"+u.name+"@example.test", "*", adminapi.UserChange{Name: &u.shown, Phones: &phones}, nil); err != nil {
			t.Fatal(err)
		}
	}
	_ = n
	for query, want := range map[string]string{
		"q=example+&max=9": "alice carol bob", "q=EXAMPLE%20": "", "q=bob": "bob", "q=Carol+Ex": "carol", "q=555+010-1": "bob", "q=alice1": "",
		"max=1&skip=1": "bob", "skip=9": "", "role=1": "",
	} {
		var got []adminapi.User
		if err := c.Get(t.Context(), "/users?"+query, &got); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, u := range got {
			names[strings.TrimSuffix(u.AOR, "@example.test")] = true
		}
		for _, name := range strings.Fields(want) {
			if !names[name] {
				t.Errorf("%s: %v, want %s", query, names, want)
			}
		}
		if query != "q=EXAMPLE%20" && len(names) != len(strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", query, names, want)
		}
	}
}

func TestWhatADeploymentLooksLike(t *testing.T) {
	_, c := start(t)
	var d adminapi.Deployment
	if err := c.Get(t.Context(), "/deployment", &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Sites) != 1 || len(d.Sites[0].Pools) != 1 || d.Sites[0].Pools[0].Machines[0].FQDN != nodetest.FQDN || !strings.HasPrefix(d.Sites[0].Drawing, "<svg ") {
		t.Errorf("%+v", d)
	}
	var certs []adminapi.Certificate
	if err := c.Get(t.Context(), "/certificates", &certs); err != nil || len(certs) < 2 || certs[0].Use != "node" || certs[0].State != "good" || !certs[0].Renewed {
		t.Errorf("%v %+v", err, certs)
	}
	var ports []service.PortRow
	if err := c.Get(t.Context(), "/ports", &ports); err != nil || len(ports) < 106 {
		t.Errorf("%v %d", err, len(ports))
	}
	var config []struct{ Section, Key, Value string }
	if err := c.Get(t.Context(), "/config", &config); err != nil || len(config) == 0 {
		t.Errorf("%v %+v", err, config)
	}
}
