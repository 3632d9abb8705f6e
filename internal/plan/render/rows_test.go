package render_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/internal/plan"
	"parley/internal/plan/render/cisco"
	"parley/internal/plan/render/cloud"
	"parley/internal/plan/render/haproxy"
	"parley/internal/plan/render/nftables"
	"parley/internal/plan/render/nginx"
	"parley/internal/plan/render/panos"
	"parley/internal/plan/render/strongswan"
	"parley/internal/plan/render/windows"
	"parley/internal/porttable"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestRowsInFiles lists for each row of the port plan which files to load name it, over all samples.
func TestRowsInFiles(t *testing.T) {
	makers := map[string]func(*plan.Plan) ([]plan.File, error){
		"nftables": nftables.Firewall, "nftables-qos": nftables.QoS, "windows": windows.Firewall, "windows-ipsec": windows.IPsec,
		"windows-qos": windows.QoS, "cisco-asa": cisco.Firewall, "pan-os": panos.Firewall, "aws": cloud.AWS, "azure": cloud.Azure,
		"haproxy": haproxy.Balancer, "nginx": nginx.Balancer, "nginx-proxy": nginx.Proxy, "strongswan": strongswan.IPsec,
	}
	words := regexp.MustCompile(`[a-z]+(?:-[a-z0-9]+)+`)
	found := map[string]map[string]bool{}
	for _, row := range porttable.All() {
		found[row.ID] = map[string]bool{}
	}
	for _, id := range plan.FactIDs() {
		found[id] = map[string]bool{}
	}
	ids := slices.Sorted(maps.Keys(found))
	for _, name := range names {
		p := planned(t, name)
		for format, make := range makers {
			files, err := make(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				for _, w := range words.FindAllString(string(f.Data), -1) {
					// Some names carry the transport behind the row, or the number of the rule before it.
					w = strings.TrimPrefix(w, "parley-")
					for _, id := range []string{w, strings.TrimSuffix(strings.TrimSuffix(w, "-tcp"), "-udp")} {
						if found[id] != nil {
							found[id][format] = true
						}
					}
				}
			}
		}
	}
	var b strings.Builder
	for _, id := range ids {
		list := slices.Sorted(maps.Keys(found[id]))
		if len(list) == 0 {
			t.Errorf("row %s is in no file of any sample", id)
		}
		fmt.Fprintf(&b, "%s: %s\n", id, strings.Join(list, ", "))
	}
	file := filepath.Join("testdata", "rows.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s differs (go test ./internal/plan/render -run Rows -update rewrites it); now\n%s", file, b.String())
	}
}
