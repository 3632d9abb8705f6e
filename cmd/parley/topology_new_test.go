package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTopologyNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.toml")
	want(t, "topology", "new", "--domain", "example.test", "--users", "3000", "--available", "--branch", "harbour:40:10.2.0.0/24", "--out", file)
	if out := want(t, "topology", "check", file); !strings.Contains(out, "can be used") {
		t.Error(out)
	}
	if out := want(t, "plan", "firewall", "--topology", file, "--format", "csv"); !strings.Contains(out, "edge-int-auth-5062") {
		t.Errorf("no Edge is planned:\n%s", out)
	}
	refused(t, "exists", "topology", "new", "--domain", "example.test", "--users", "10", "--out", file)
	refused(t, "SIP domain", "topology", "new", "--users", "10")
	refused(t, "NAME:USERS:NETWORK", "topology", "new", "--domain", "example.test", "--users", "10", "--branch", "harbour")
	refused(t, "desk-phones", "topology", "new", "--domain", "example.test", "--users", "10", "--feature", "fireworks")
	refused(t, "want a network", "topology", "new", "--domain", "example.test", "--users", "10", "--inside", "10.0.0.0")
}

func TestTopologyInterview(t *testing.T) {
	answers := strings.Join([]string{
		"example.test, example.org", "", "many", "120", // domains, site, users with one bad answer
		"yes", "y", "n", "n", "perhaps", "no", "y", "n", "n", "n", // bundles, one bad answer
		"no", "10.9.0.0/16", // availability, network
		"30", "", "", "yes", // outside
		"harbour", "20", "10.20.0.0/24", "",
	}, "\n") + "\n"
	out, errOut, status := parley(t, answers, "topology", "new", "--interview")
	if status != 0 {
		t.Fatalf("exit status %d\n%s", status, errOut)
	}
	for _, text := range []string{`'example.org'`, "users = 120", "remote-users = 30", "harbour", "nat = true", "10.9.0.11"} {
		if !strings.Contains(out, text) {
			t.Errorf("the design lacks %s:\n%s", text, out)
		}
	}
	if strings.Contains(out, `'dial-in'`) || strings.Contains(out, "persistent-chat") {
		t.Error("the design has what was refused")
	}
	if _, errOut, status := parley(t, "example.test\n", "topology", "new", "--interview"); status == 0 || !strings.Contains(errOut, "ended early") {
		t.Errorf("exit status %d: %s", status, errOut)
	}
}
