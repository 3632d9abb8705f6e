package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/service"
	"parley/internal/topology"
)

var update = flag.Bool("update", false, "rewrite golden files")

// parley runs a command line and returns what it printed and its exit status.
func parley(t *testing.T, stdin string, args ...string) (out, errOut string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), status
}

// want runs a command line that must succeed.
func want(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, status := parley(t, "", args...)
	if status != 0 {
		t.Fatalf("parley %s: exit status %d\n%s%s", strings.Join(args, " "), status, out, errOut)
	}
	return out
}

// refused runs a command line that must fail with a message that contains text.
func refused(t *testing.T, text string, args ...string) {
	t.Helper()
	out, errOut, status := parley(t, "", args...)
	if status == 0 || !strings.Contains(out+errOut, text) {
		t.Errorf("parley %s: exit status %d, want a refusal that says %q, got\n%s%s", strings.Join(args, " "), status, text, out, errOut)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(wanted) {
		t.Errorf("%s differs (go test ./cmd/parley -update rewrites it)\ngot:\n%s\nwant:\n%s", file, got, wanted)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	out := want(t, "init", "--data", dir, "--domain", "Example.test", "--address", "127.0.0.1", "--address", "::1", "--offset", "10000")
	out = strings.ReplaceAll(out, dir, "DIR")
	out = regexp.MustCompile(`\d{4}-\d\d-\d\d`).ReplaceAllString(out, "DATE")
	golden(t, "init", out)

	for name, mode := range map[string]os.FileMode{config.FileName: 0o600, "ca/ca.key": 0o600, "certs/node.key": 0o600, topology.FileName: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	file, err := node.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if file.Node.FQDN != "server.example.test" || file.Listen.Offset != 10000 || len(file.Listen.Addresses) != 2 {
		t.Errorf("node file: %+v", file.Config)
	}
	if _, err := cert.Open(cert.Options{DataDir: dir}); err != nil {
		t.Error(err)
	}
	before := read(t, filepath.Join(dir, "ca/ca.key"))
	refused(t, "already exists", "init", "--data", dir, "--domain", "example.test", "--address", "127.0.0.1")
	if read(t, filepath.Join(dir, "ca/ca.key")) != before {
		t.Error("init replaced the key of the CA")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInitRefusals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	for text, args := range map[string][]string{
		"needs --domain and --address": {"--domain", "example.test"},
		"single label":                 {"--domain", "example", "--address", "127.0.0.1"},
		"not an IP address":            {"--domain", "example.test", "--address", "localhost"},
		"--offset 80":                  {"--domain", "example.test", "--address", "127.0.0.1", "--offset", "80"},
		"--node":                       {"--domain", "example.test", "--address", "127.0.0.1", "--node", "a_b.example.test"},
		"exclude each other":           {"--domain", "example.test", "--topology", "x"},
		"no such file":                 {"--topology", "nothing.toml"},
		"which server is this":         {"--topology", "../../examples/enterprise.toml"},
		"has no server":                {"--topology", "../../examples/enterprise.toml", "--node", "fe99.example.test"},
		"no CA key":                    {"--domain", "example.test", "--address", "127.0.0.1", "--ca", "nowhere"},
		"unknown flag":                 {"--domains", "example.test"},
		"unknown command":              {"now"},
	} {
		refused(t, text, append([]string{"init", "--data", dir}, args...)...)
		for _, name := range []string{config.FileName, topology.FileName, "certs"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				t.Fatalf("a refused init (%s) left %s", text, name)
			}
		}
	}
}

// TestInitSecondNode makes two nodes of one deployment that trust each other.
func TestInitSecondNode(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	file := "../../examples/enterprise.toml"
	want(t, "init", "--data", one, "--topology", file, "--node", "fe01.example.test")
	want(t, "init", "--data", two, "--topology", file, "--node", "edge01.example.test", "--ca", one)
	k1, err := cert.Open(cert.Options{DataDir: one})
	if err != nil {
		t.Fatal(err)
	}
	k2, err := cert.Open(cert.Options{DataDir: two})
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := k1.Identify([]*x509.Certificate{k2.Leaf()}, s); err != nil || p.Name != "edge01.example.test" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestTopologyVerbs(t *testing.T) {
	file := "../../examples/enterprise.toml"
	golden(t, "topology_show", want(t, "topology", "show", file))
	golden(t, "topology_show_json", want(t, "topology", "show", "--json", file))
	if out := want(t, "topology", "check", file); out != "The topology can be used.\n" {
		t.Errorf("check says %q", out)
	}

	dir := filepath.Join(t.TempDir(), "node")
	refused(t, "there is no topology", "topology", "show", "--data", dir)
	want(t, "init", "--data", dir, "--domain", "example.test", "--address", "127.0.0.1")
	exported := filepath.Join(t.TempDir(), "exported.toml")
	want(t, "topology", "export", "--data", dir, exported)
	refused(t, "file exists", "topology", "export", "--data", dir, exported)
	text := read(t, exported)
	if text != read(t, filepath.Join(dir, topology.FileName)) || text != want(t, "topology", "export", "--data", dir, "-") {
		t.Error("what was exported is not the topology")
	}

	edited := filepath.Join(t.TempDir(), "edited.toml")
	write := func(from, to string) {
		t.Helper()
		if !strings.Contains(text, from) {
			t.Fatalf("no %q in %s", from, text)
		}
		if err := os.WriteFile(edited, []byte(strings.Replace(text, from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("domains = ['example.test']", "domains = ['example.test', 'example.org']")
	golden(t, "topology_apply_dry", want(t, "topology", "apply", "--data", dir, "--dry-run", edited))
	golden(t, "topology_apply", want(t, "topology", "apply", "--data", dir, "--note", "a second domain", edited))
	golden(t, "topology_apply_again", want(t, "topology", "apply", "--data", dir, edited))
	refused(t, "has changed in the meantime", "topology", "apply", "--data", dir, "--base", "1", exported)
	if out := want(t, "topology", "history", "--data", dir); !strings.Contains(out, "a second domain") || strings.Count(out, "\n") != 2 {
		t.Errorf("history:\n%s", out)
	}
	if out := want(t, "topology", "export", "--data", dir, "--revision", "1", "-"); out != text {
		t.Error("revision 1 is not what it was")
	}

	write("kind = 'standard'", "kind = 'standart'")
	out, _, status := parley(t, "", "topology", "check", "--json", edited)
	var problems []topology.Problem
	if err := json.Unmarshal([]byte(out), &problems); err != nil || len(problems) != 1 || status != 1 {
		t.Errorf("check: status %d, %v, %s", status, err, out)
	} else if at := problems[0].Place; problems[0].Severity != topology.Failure || at.Path != "pool[0].kind" || at.Line == 0 || at.File != edited {
		t.Errorf("place %+v", at)
	}
	refused(t, "no kind of pool", "topology", "apply", "--data", dir, edited)
	text = strings.ReplaceAll(text, "server.example.test", "other.example.test")
	write("version", "version")
	refused(t, "the topology has no server server.example.test", "topology", "apply", "--data", dir, edited)
	write("site = 'main'", "site = 'mein'")
	refused(t, `there is no site "mein" (did you mean "main"?)`, "topology", "apply", "--data", dir, edited)
	if out, _, status := parley(t, text, "topology", "check", "-"); status != 0 || !strings.Contains(out, "can be used") {
		t.Errorf("standard input: status %d, %s", status, out)
	}
}

func TestPorts(t *testing.T) {
	var rows []service.PortRow
	if err := json.Unmarshal([]byte(want(t, "ports", "--json", "--data", t.TempDir())), &rows); err != nil {
		t.Fatal(err)
	}
	planned := 0
	for _, r := range rows {
		if r.Table != "extension" {
			planned++
		}
		if r.State != service.Served && r.State != service.ClientSide && r.State != service.NotYet {
			t.Errorf("%s is in state %q", r.ID, r.State)
		}
		if (r.State == service.Served) != (len(r.ServedBy) > 0) || len(r.Listening) > 0 {
			t.Errorf("%s: %s by %v, listening %v", r.ID, r.State, r.ServedBy, r.Listening)
		}
	}
	if planned != 106 {
		t.Errorf("%d rows of the plan, want 106", planned)
	}
	if out := want(t, "ports", "--data", t.TempDir()); strings.Count(out, "\n") != len(rows)+2 {
		t.Errorf("table:\n%s", out)
	}
}

func TestPlan(t *testing.T) {
	file := "../../examples/small.toml"
	for _, kind := range []string{"ports", "firewall", "lb", "ipsec", "dns", "certs", "qos", "capacity"} {
		for _, format := range []string{"table", "json", "csv", "markdown"} {
			if out := want(t, "plan", kind, "--topology", file, "--format", format); out == "" {
				t.Errorf("plan %s as %s prints nothing", kind, format)
			}
		}
	}
	golden(t, "plan_dns", want(t, "plan", "dns", "--topology", file))
	var doc struct{ Rows []map[string]string }
	if err := json.Unmarshal([]byte(want(t, "plan", "firewall", "--topology", file, "--json")), &doc); err != nil || len(doc.Rows) == 0 || doc.Rows[0]["row"] == "" {
		t.Errorf("JSON: %v", err)
	}
	if out := want(t, "plan", "diff", file, file); !strings.Contains(out, "Nothing to show") {
		t.Errorf("diff of equals: %s", out)
	}
	refused(t, `no format "pdf"`, "plan", "dns", "--topology", file, "--format", "pdf")
	refused(t, "there is no topology", "plan", "dns", "--data", t.TempDir())

	broken := filepath.Join(t.TempDir(), "broken.toml")
	if err := os.WriteFile(broken, []byte(strings.Replace(read(t, file), `site = "office"`, `site = "ofice"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, errOut, status := parley(t, "", "plan", "firewall", "--topology", broken)
	if status != 1 || out != "" || !strings.Contains(errOut, `there is no site "ofice"`) {
		t.Errorf("a broken topology: status %d\n%s%s", status, out, errOut)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out := want(t, "version"); !strings.HasPrefix(out, "parley ") {
		t.Errorf("version: %s", out)
	}
	out := want(t, "--help")
	for _, verb := range []string{"init", "topology", "ports", "version"} {
		if !strings.Contains(out, "\n  "+verb+" ") {
			t.Errorf("help does not name %s", verb)
		}
	}
	refused(t, "unknown command", "tpology")
}
