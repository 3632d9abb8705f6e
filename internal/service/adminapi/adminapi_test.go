package adminapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/service/adminapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*nodetest.Node, *adminapi.Client) {
	t.Helper()
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{}})
	return n, n.Client()
}

func text(s string) *string { return &s }

// problem runs a request that must be refused.
func problem(t *testing.T, c *adminapi.Client, method, path, etag string, in any) *adminapi.Problem {
	t.Helper()
	_, err := c.Do(t.Context(), method, path, etag, in, nil)
	var p *adminapi.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%s %s: got %v, want a refusal", method, path, err)
	}
	return p
}

func TestUserIsMadeChangedAndRemoved(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	var u adminapi.User
	phones := []string{"tel:+15550100"}
	tag, err := c.Do(ctx, http.MethodPut, "/users/alice@example.test", "*",
		adminapi.UserChange{Name: text("Alice"), Phones: &phones, Password: text("correct horse")}, &u)
	if err != nil || u.AOR != "alice@example.test" || !u.Enabled || !u.HasPassword || u.Phones[0] != "tel:+15550100" {
		t.Fatalf("add: %v %+v", err, u)
	}
	if p := problem(t, c, http.MethodPut, "/users/alice@example.test", "*", adminapi.UserChange{}); p.Status != 409 || p.ID != "user-exists" {
		t.Errorf("add again: %+v", p)
	}
	off := false
	newer, err := c.Do(ctx, http.MethodPatch, "/users/alice@example.test", tag,
		adminapi.UserChange{Enabled: &off, Policy: map[string]json.RawMessage{"maxEndpoints": []byte("3")}}, &u)
	if err != nil || newer == tag || u.Enabled || u.Policy.MaxEndpoints != 3 || !u.Policy.Voice || u.Name != "Alice" {
		t.Fatalf("change: %v %q %+v", err, newer, u)
	}
	if p := problem(t, c, http.MethodPatch, "/users/alice@example.test", tag, adminapi.UserChange{Name: text("A")}); p.Status != 412 {
		t.Errorf("change of what somebody else changed: %+v", p)
	}
	if p := problem(t, c, http.MethodPatch, "/users/alice@example.test", "", adminapi.UserChange{Name: text("A")}); p.Status != 428 {
		t.Errorf("change without If-Match: %+v", p)
	}
	if p := problem(t, c, http.MethodPatch, "/users/alice@example.test", "*",
		adminapi.UserChange{Policy: map[string]json.RawMessage{"maxEndpoint": []byte("3")}}); p.ID != "bad-policy" {
		t.Errorf("unknown policy: %+v", p)
	}
	if p := problem(t, c, http.MethodDelete, "/users/alice@example.test", tag, nil); p.Status != 412 {
		t.Errorf("removal of what somebody else changed: %+v", p)
	}
	if _, err := c.Do(ctx, http.MethodDelete, "/users/alice@example.test", newer, nil, nil); err != nil {
		t.Fatalf("remove: %v", err)
	}
	if p := problem(t, c, http.MethodGet, "/users/alice@example.test", "", nil); p.Status != 404 || !strings.Contains(p.Message, "parley user list") {
		t.Errorf("show: %+v", p)
	}

	var log []adminapi.AuditRecord
	if err := c.Get(ctx, "/audit?object=alice@example.test", &log); err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, r := range log {
		did = append(did, r.Action)
		if r.Who == "" || bytes.Contains(r.Detail, []byte("correct horse")) {
			t.Errorf("audit record %+v", r)
		}
	}
	if got := strings.Join(did, " "); got != "user.remove user.change user.add" {
		t.Errorf("audited: %s", got)
	}
}

func TestUserHasABusinessCardAndAPhoto(t *testing.T) {
	_, c := start(t)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	photo := picture.Bytes()
	var u adminapi.User
	if _, err := c.Do(t.Context(), http.MethodPut, "/users/alice@example.test", "*",
		adminapi.UserChange{Profile: map[string]string{"title": "Engineer", "c": "NZ"}, Photo: &photo}, &u); err != nil || u.PhotoSize != len(photo) || u.Profile.Country != "NZ" {
		t.Fatalf("add: %v %+v", err, u)
	}
	u = adminapi.User{}
	if _, err := c.Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*",
		adminapi.UserChange{Profile: map[string]string{"title": "", "l": "Nelson"}}, &u); err != nil || u.Profile.Title != "" || u.Profile.City != "Nelson" || u.Profile.Country != "NZ" {
		t.Fatalf("change: %v %+v", err, u)
	}
	var p adminapi.Photo
	if err := c.Get(t.Context(), "/users/alice@example.test/photo", &p); err != nil || p.Type != "image/png" || !bytes.Equal(p.Image, photo) {
		t.Errorf("photo: %v %+v", err, p)
	}
	none, bad := []byte{}, []byte("GIF89a")
	if p := problem(t, c, http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Photo: &bad}); p.ID != "bad-user" {
		t.Errorf("bad photo: %+v", p)
	}
	if p := problem(t, c, http.MethodPut, "/users/bob@example.test", "*", adminapi.UserChange{Photo: &bad}); p.ID != "bad-user" {
		t.Errorf("new user with a bad photo: %+v", p)
	}
	if p := problem(t, c, http.MethodGet, "/users/bob@example.test", "", nil); p.Status != 404 {
		t.Errorf("and is there all the same: %+v", p)
	}
	if p := problem(t, c, http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Profile: map[string]string{"shoeSize": "9"}}); p.ID != "bad-profile" {
		t.Errorf("unknown field: %+v", p)
	}
	u = adminapi.User{}
	if _, err := c.Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Photo: &none}, &u); err != nil || u.PhotoSize != 0 {
		t.Fatalf("remove the photo: %v %+v", err, u)
	}
	if p := problem(t, c, http.MethodGet, "/users/alice@example.test/photo", "", nil); p.ID != "no-photo" {
		t.Errorf("photo that is gone: %+v", p)
	}
}

func TestWhatTheAPIDoesNotTake(t *testing.T) {
	_, c := start(t)
	for _, x := range []struct {
		method, path, etag string
		in                 any
		status             int
		id                 string
	}{
		{"GET", "/users/alice", "", nil, 400, "bad-address"},
		{"PUT", "/users/alice@other.test", "*", adminapi.UserChange{}, 422, "bad-user"},
		{"PUT", "/users/alice@example.test", "", adminapi.UserChange{}, 428, "need-if-none-match"},
		{"PUT", "/users/alice@example.test", "*", map[string]int{"colour": 1}, 400, "bad-json"},
		{"PUT", "/users/alice@example.test", "*", strings.Repeat("x", 5<<20), 413, "too-large"},
		{"POST", "/drain?deadline=soon", "", nil, 400, "bad-deadline"},
		{"GET", "/trace?flow=x", "", nil, 400, "bad-flow"},
		{"GET", "/nothing", "", nil, 404, "no-resource"},
		{"PUT", "/topology", "", adminapi.TopologyText{Text: "[[["}, 422, "topology-refused"},
		{"PUT", "/topology", "x", adminapi.TopologyText{}, 400, "bad-etag"},
	} {
		if p := problem(t, c, x.method, x.path, x.etag, x.in); p.Status != x.status || p.ID != x.id {
			t.Errorf("%s %s: %d %s (%s), want %d %s", x.method, x.path, p.Status, p.ID, p.Message, x.status, x.id)
		}
	}
}

func TestTopologyIsAppliedOnTopOfWhatWasSeen(t *testing.T) {
	n, c := start(t)
	var seen adminapi.TopologyText
	tag, err := c.Do(t.Context(), http.MethodGet, "/topology", "", nil, &seen)
	if err != nil || seen.Revision != 1 {
		t.Fatalf("get: %v %+v", err, seen)
	}
	next := adminapi.TopologyText{Text: strings.Replace(seen.Text, `domains = ["example.test"]`, `domains = ["example.test", "second.test"]`, 1)}
	if next.Text == seen.Text {
		next.Text = strings.Replace(seen.Text, `domains = ['example.test']`, `domains = ['example.test', 'second.test']`, 1)
	}
	var result adminapi.ReloadResult
	if _, err := c.Do(t.Context(), http.MethodPut, "/topology?dry-run=1", tag, next, &result); err != nil || result.Applied || len(result.Changes) == 0 {
		t.Fatalf("dry run: %v %+v", err, result)
	}
	if _, err := c.Do(t.Context(), http.MethodPut, "/topology", tag, next, &result); err != nil || !result.Applied {
		t.Fatalf("apply: %v %+v", err, result)
	}
	if p := problem(t, c, http.MethodPut, "/topology", tag, next); p.Status != 412 {
		t.Errorf("apply on an old revision: %+v", p)
	}
	st := n.Status()
	if st.Topology != 2 || strings.Join(st.Domains, " ") != "example.test second.test" {
		t.Errorf("status: %+v", st)
	}
}

func TestTraceIsFollowedLive(t *testing.T) {
	n, c := start(t)
	message := []byte("OPTIONS sip:bob@example.test SIP/2.0\r\nFrom: <sip:alice@example.test>;tag=1\r\nCall-ID: x\r\n\r\nsecret body")
	n.Trace().Add(obs.TraceMeta{Flow: 1}, message)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	err := c.Stream(ctx, "/trace?follow=1&user=alice@example.test", func(raw json.RawMessage) error {
		var l adminapi.TraceLine
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		if strings.Contains(l.Text, "secret body") || l.Title != "OPTIONS sip:bob@example.test SIP/2.0" {
			t.Errorf("line: %+v", l)
		}
		if seen++; seen == 3 {
			cancel()
			return nil
		}
		n.Trace().Add(obs.TraceMeta{Flow: 2}, []byte("OPTIONS sip:carol@example.test SIP/2.0\r\n\r\n")) // not hers
		n.Trace().Add(obs.TraceMeta{Flow: 1}, message)
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen != 3 {
		t.Fatalf("followed %d: %v", seen, err)
	}
}

func TestDeepDirectoriesHaveASocketToo(t *testing.T) {
	dir := nodetest.Dir(t)
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(filepath.Dir(deep), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, deep); err != nil {
		t.Fatal(err)
	}
	n := nodetest.Start(t, deep, node.Options{Specs: []service.Spec{}})
	if err := n.Client().Get(t.Context(), "/status", nil); err != nil {
		t.Fatal(err)
	}
}

func TestNoServer(t *testing.T) {
	dir := t.TempDir()
	c := adminapi.NewClient(dir)
	err := c.Get(t.Context(), "/status", nil)
	if !errors.Is(err, adminapi.ErrNotRunning) || !strings.Contains(err.Error(), "parley serve --data "+dir) {
		t.Errorf("got %v", err)
	}
}
