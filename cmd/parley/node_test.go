package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/service/adminapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server runs a node without services and returns its directory.
func server(t *testing.T) *nodetest.Node {
	t.Helper()
	return nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{}, Version: "test"})
}

func TestUserVerbs(t *testing.T) {
	running := server(t).Dir
	for name, dir := range map[string]string{"running server": running, "stopped server": nodetest.Dir(t)} {
		t.Run(name, func(t *testing.T) {
			out, errOut, status := parley(t, "correct horse\n", "user", "add", "alice@example.test", "--password-stdin",
				"--name", "Alice Example", "--phone", "tel:+15550100", "--data", dir)
			if status != 0 || out != "added alice@example.test\n" || errOut != "" {
				t.Fatalf("add: %d %q %q", status, out, errOut)
			}
			_, errOut, status = parley(t, "", "user", "add", "bob@example.test", "--data", dir)
			if status != 0 || !strings.Contains(errOut, "cannot sign in yet") {
				t.Errorf("add without password: %d %q", status, errOut)
			}
			want(t, "user", "set", "alice@example.test", "--policy", "maxEndpoints=3", "--phone", "tel:+15550199", "--data", dir)
			want(t, "user", "disable", "alice@example.test", "--data", dir)
			golden(t, "user-list", want(t, "user", "list", "--data", dir))
			shown := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllString(want(t, "user", "show", "alice@example.test", "--data", dir), "TIME")
			golden(t, "user-show", shown)
			var u adminapi.User
			if err := json.Unmarshal([]byte(want(t, "user", "show", "alice@example.test", "--json", "--data", dir)), &u); err != nil ||
				u.Enabled || u.Policy.MaxEndpoints != 3 || !u.HasPassword {
				t.Errorf("show --json: %v %+v", err, u)
			}
			want(t, "user", "enable", "alice@example.test", "--data", dir)
			want(t, "user", "remove", "bob@example.test", "--data", dir)

			refused(t, "there is no user bob@example.test", "user", "show", "bob@example.test", "--data", dir)
			refused(t, "taken already", "user", "add", "alice@example.test", "--data", dir)
			refused(t, "nothing to change", "user", "set", "alice@example.test", "--data", dir)
			refused(t, "password on standard input is empty", "user", "set", "alice@example.test", "--password-stdin", "--data", dir)
			refused(t, "want KEY=VALUE", "user", "set", "alice@example.test", "--policy", "voice", "--data", dir)
			refused(t, "unknown field", "user", "set", "alice@example.test", "--policy", "voise=true", "--data", dir)
			refused(t, "not an address like", "user", "show", "alice", "--data", dir)
		})
	}
	refused(t, "parley init --data", "user", "list", "--data", t.TempDir())
}

func TestStatusVerb(t *testing.T) {
	n := server(t)
	out := want(t, "status", "--data", n.Dir)
	for _, part := range []string{"ready, running since", "domains  example.test", "version  test", n.Dir} {
		if !strings.Contains(out, part) {
			t.Errorf("status does not say %q:\n%s", part, out)
		}
	}
	var st adminapi.Status
	if err := json.Unmarshal([]byte(want(t, "status", "--json", "--wait", "5s", "--data", n.Dir)), &st); err != nil || !st.Ready {
		t.Errorf("status --json: %v %+v", err, st)
	}
	if err := n.Quiesce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, _, status := parley(t, "", "status", "--data", n.Dir); status != 1 || !strings.Contains(out, "NOT READY") || !strings.Contains(out, "the node is draining") {
		t.Errorf("while draining: %d\n%s", status, out)
	}
	dir := t.TempDir()
	refused(t, "no server is running for "+dir+"; start it with: parley serve --data "+dir, "status", "--data", dir)
	refused(t, "no server is running", "status", "--wait", "1ms", "--data", dir)
	for _, verb := range []string{"calls", "registrations", "trace"} {
		refused(t, "no server is running", verb, "--data", dir)
	}
	refused(t, "parley init --data", "serve", "--data", dir)
}

func TestConfigVerbs(t *testing.T) {
	n := server(t)
	if out := want(t, "config", "get", "listen.offset", "--data", n.Dir); out != "0\n" {
		t.Errorf("get: %q", out)
	}
	if out := want(t, "config", "get", "store", "--data", n.Dir); !strings.Contains(out, "[redacted]") {
		t.Errorf("a secret is shown: %q", out)
	}
	if out := want(t, "config", "set", "log.level", "warn", "--data", n.Dir); !strings.Contains(out, `in force           log.level: "info" -> "warn"`) {
		t.Errorf("set: %q", out)
	}
	if out := want(t, "config", "set", "listen.offset", "10000", "--data", n.Dir); !strings.Contains(out, "at the next start  listen.offset: 0 -> 10000") {
		t.Errorf("set: %q", out)
	}
	if out := want(t, "config", "check", "--against-running", "--data", n.Dir); !strings.Contains(out, "at the next start  listen.offset") {
		t.Errorf("check: %q", out)
	}
	if out := want(t, "config", "check", "--data", n.Dir); out != "the node file is in order\n" {
		t.Errorf("check: %q", out)
	}
	refused(t, "known are debug, info, warn, error", "config", "set", "log.level", "loud", "--data", n.Dir)
	refused(t, "did you mean", "config", "set", "log.levl", "warn", "--data", n.Dir)
	refused(t, "has no key", "config", "get", "log.levl", "--data", n.Dir)
	if out := want(t, "config", "get", "log.level", "--data", n.Dir); out != "\"warn\"\n" {
		t.Errorf("after refusals: %q", out)
	}
	stopped := nodetest.Dir(t)
	if out := want(t, "config", "set", "log.json", "true", "--data", stopped); !strings.Contains(out, "when the server starts") {
		t.Errorf("set on a stopped node: %q", out)
	}
}

func TestTraceVerb(t *testing.T) {
	n := server(t)
	n.Trace().Add(obs.TraceMeta{Flow: 7, Transport: "TLS"}, []byte("MESSAGE sip:bob@example.test SIP/2.0\r\n"+
		"From: <sip:alice@example.test>;tag=1\r\nCall-ID: abc\r\nAuthorization: Digest username=\"alice\", response=\"f00\"\r\n\r\nhello bob"))
	n.Trace().Add(obs.TraceMeta{Flow: 8}, []byte("OPTIONS sip:carol@example.test SIP/2.0\r\nCall-ID: def\r\n\r\n"))
	out := want(t, "trace", "--past", "--user", "bob@example.test", "--data", n.Dir)
	if !strings.Contains(out, "MESSAGE sip:bob@example.test") || !strings.Contains(out, "response=[masked]") ||
		strings.Contains(out, "hello bob") || strings.Contains(out, "carol") {
		t.Errorf("trace:\n%s", out)
	}
	if out = want(t, "trace", "--past", "--call", "abc", "--bodies", "--data", n.Dir); !strings.Contains(out, "hello bob") {
		t.Errorf("trace with bodies:\n%s", out)
	}
	if out = want(t, "trace", "--past", "--short", "--flow", "8", "--data", n.Dir); strings.Count(out, "\n") != 1 || !strings.Contains(out, "carol") {
		t.Errorf("short trace:\n%s", out)
	}
}

func TestBackupRestoreAndMove(t *testing.T) {
	n := server(t)
	n.AddUsers("alice")
	backup := filepath.Join(t.TempDir(), "backup")
	want(t, "db", "backup", backup, "--data", n.Dir)
	refused(t, "exists", "db", "backup", backup, "--data", n.Dir)
	refused(t, "another parley process", "db", "restore", backup, "--data", n.Dir)

	other := nodetest.Dir(t)
	key, err := os.ReadFile(filepath.Join(n.Dir, "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "keyring"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, "db", "restore", backup, "--data", other)
	if out := want(t, "user", "list", "--data", other); !strings.Contains(out, "alice@example.test") {
		t.Errorf("users of the restored store:\n%s", out)
	}
	refused(t, "move it away first", "db", "restore", backup, "--data", other)

	moved := filepath.Join(t.TempDir(), "moved.db")
	out := want(t, "db", "move", "sqlite:"+moved, "--data", other)
	if !strings.Contains(out, "TABLE") || !strings.Contains(out, "config set store.dsn") {
		t.Errorf("move:\n%s", out)
	}
	want(t, "config", "set", "store.dsn", "sqlite:"+moved, "--data", other)
	if out := want(t, "user", "list", "--data", other); !strings.Contains(out, "alice@example.test") {
		t.Errorf("users of the moved store:\n%s", out)
	}
}

// lines is an output that a test can wait on.
type lines struct {
	mu  sync.Mutex
	b   bytes.Buffer
	has chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	if strings.Contains(l.b.String(), "Ctrl-C ends the demo") {
		select {
		case <-l.has:
		default:
			close(l.has)
		}
	}
	return len(p), nil
}

func TestDemoRunsAndLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lines{has: make(chan struct{})}
	args := []string{"demo", "--password", "sample password"}
	for row := range nodetest.FreePorts(nil) {
		args = append(args, "--listen", row+"=127.0.0.1:0")
	}
	status := make(chan int, 1)
	go func() { status <- run(ctx, args, strings.NewReader(""), out, out) }()
	select {
	case <-out.has:
	case s := <-status:
		t.Fatalf("demo ended with %d:\n%s", s, out.b.String())
	}
	text := out.b.String()
	for _, part := range []string{"TLS        srv-fe-frontend-5061", "alice  sample password  +15550100  sip:alice@example.test"} {
		if !strings.Contains(text, part) {
			t.Errorf("demo does not say %q:\n%s", part, text)
		}
	}
	dir := regexp.MustCompile(`(/\S+)/ca/ca\.crt`).FindStringSubmatch(text)
	if dir == nil {
		t.Fatalf("no CA certificate in\n%s", text)
	}
	if _, err := os.Stat(dir[0]); err != nil {
		t.Errorf("the CA certificate is not there: %v", err)
	}
	if users := want(t, "user", "list", "--data", dir[1]); strings.Count(users, "\n") != 5 {
		t.Errorf("users of the demo:\n%s", users)
	}
	cancel()
	if s := <-status; s != 0 {
		t.Errorf("exit status %d:\n%s", s, out.b.String())
	}
	if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
		t.Errorf("the directory of the demo is still there: %v", err)
	}
}

func TestDemoGoesOnInItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		out := &lines{has: make(chan struct{})}
		args := []string{"demo", "--data", dir}
		for row := range nodetest.FreePorts(nil) {
			args = append(args, "--listen", row+"=127.0.0.1:0")
		}
		status := make(chan int, 1)
		go func() { status <- run(ctx, args, strings.NewReader(""), out, out) }()
		select {
		case <-out.has:
		case s := <-status:
			t.Fatalf("demo ended with %d:\n%s", s, out.b.String())
		}
		c := adminapi.NewClient(dir)
		name := "New Name"
		if _, err := c.Do(ctx, http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Name: &name}, nil); err != nil {
			t.Error(err)
		}
		c.Close()
		cancel()
		if s := <-status; s != 0 {
			t.Errorf("exit status %d", s)
		}
	}
	if out := want(t, "user", "show", "alice@example.test", "--data", dir); !strings.Contains(out, "New Name") {
		t.Errorf("what was changed is lost:\n%s", out)
	}
}
