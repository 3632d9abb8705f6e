package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestConferencingPorts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	want(t, "init", "--data", dir, "--domain", "example.test", "--address", "127.0.0.1", "--offset", "10000")
	out := want(t, "config", "conferencing", "set", "--data", dir, "--client-ranges", "--client-audio", "50020:20", "--client-video", "58000:20",
		"--client-application-sharing", "42000:20", "--client-file-transfer", "42020:20")
	for _, text := range []string{"cli-audio-range", "50020-50039", "Device: marks on clients"} {
		if !strings.Contains(out, text) {
			t.Errorf("the change of the plan lacks %s:\n%s", text, out)
		}
	}
	if out := want(t, "config", "conferencing", "show", "--data", dir); !strings.Contains(out, "58000-58019") || !strings.Contains(out, "true") {
		t.Error(out)
	}
	want(t, "config", "conferencing", "set", "--data", dir, "--site", "main", "--client-audio", "50100:40")
	if out := want(t, "config", "conferencing", "show", "--data", dir, "--site", "main"); !strings.Contains(out, "50100-50139") || !strings.Contains(out, "58000-58019") {
		t.Error(out)
	}
	if out := want(t, "config", "conferencing", "show", "--data", dir); !strings.Contains(out, "50020-50039") {
		t.Error(out)
	}
	for text, args := range map[string][]string{
		"nothing to change": {},
		"START:COUNT":       {"--client-audio", "50020"},
		"20":                {"--client-audio", "50020:10"},
		"no site":           {"--site", "nowhere", "--client-audio", "50020:20"},
	} {
		refused(t, text, append([]string{"config", "conferencing", "set", "--data", dir}, args...)...)
	}
}
