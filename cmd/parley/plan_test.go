package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlanFiles(t *testing.T) {
	const topo = "../../examples/remote.toml"
	for kind, formats := range fileFormats {
		for format := range formats {
			dir := t.TempDir()
			if out := want(t, "plan", kind, "--topology", topo, "--format", format, "--out", dir); !strings.Contains(out, "files in "+dir) {
				t.Errorf("%s %s: %s", kind, format, out)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
				t.Errorf("%s %s: nothing written: %v", kind, format, err)
			}
			if kind == "certs" {
				refused(t, "exists", "plan", kind, "--topology", topo, "--format", format, "--out", dir)
				keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
				if err != nil || len(keys) == 0 {
					t.Fatalf("no keys: %v", err)
				}
				if info, err := os.Stat(keys[0]); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", keys[0], info, err)
				}
			}
		}
	}
	refused(t, "give --out", "plan", "certs", "--topology", topo, "--format", "csr")
	refused(t, "cisco-asa", "plan", "firewall", "--topology", topo, "--format", "iptables")
	refused(t, "strongswan", "plan", "ipsec", "--topology", topo, "--format", "nftables")
	if out := want(t, "plan", "firewall", "--topology", topo, "--format", "nftables"); strings.Count(out, ".nft --\n") != 5 {
		t.Errorf("five files, got\n%s", out)
	}
	dir := t.TempDir()
	want(t, "plan", "dns", "--topology", topo, "--format", "csv", "--out", dir)
	if text := read(t, filepath.Join(dir, "dns.csv")); !strings.HasPrefix(text, "zone,type,name") {
		t.Errorf("got %s", text)
	}
}

func TestPlanReport(t *testing.T) {
	for ending := range reports {
		file := filepath.Join(t.TempDir(), "plan."+ending)
		want(t, "plan", "report", file, "--topology", "../../examples/small.toml")
		if info, err := os.Stat(file); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	refused(t, ".html or .xlsx", "plan", "report", "plan.pdf", "--topology", "../../examples/small.toml")
}
