package render_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"parley/internal/plan/render/html"
	"parley/internal/plan/render/xlsx"
)

func TestWorkbook(t *testing.T) {
	for _, name := range names {
		p := planned(t, name)
		files, err := xlsx.Report(p)
		if err != nil {
			t.Fatal(err)
		}
		f, err := excelize.OpenReader(bytes.NewReader(files[0].Data))
		if err != nil {
			t.Fatal(err)
		}
		sheets := f.GetSheetList()
		if !slices.Equal(sheets[:4], []string{"Summary", "Certificates", "Firewall", "DNS"}) {
			t.Errorf("%s: the first sheets are %v", name, sheets[:4])
		}
		for _, s := range p.Topology.Topology().Sites {
			if !slices.Contains(sheets, "Firewall "+s.Name) {
				t.Errorf("%s: no firewall sheet for %s: %v", name, s.Name, sheets)
			}
		}
		for i, d := range p.EdgeReports() {
			rows, err := f.GetRows(sheets[i])
			if err != nil || len(rows) != 1+len(d.Rows) {
				t.Errorf("%s: %s has %d rows, want %d: %v", name, sheets[i], len(rows), 1+len(d.Rows), err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWorkbookOpens lets another program read the workbook and print it.
func TestWorkbookOpens(t *testing.T) {
	office := tool(t, "soffice")
	files, err := xlsx.Report(planned(t, "small"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plan.xlsx"), files[0].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), office, "-env:UserInstallation=file://"+dir+"/profile", "--headless", "--convert-to", "pdf", "--outdir", dir, filepath.Join(dir, "plan.xlsx")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(dir, "plan.pdf")); err != nil || info.Size() < 10_000 {
		t.Errorf("%v, %v\n%s", info, err, out)
	}
}

// TestPage checks that the page needs nothing else, that its drawings are well formed, and that no name of the
// topology becomes markup.
func TestPage(t *testing.T) {
	for _, name := range append([]string{"awkward"}, names...) {
		p := awkwardPlan(t)
		if name != "awkward" {
			p = planned(t, name)
		}
		files, err := html.Report(p)
		if err != nil {
			t.Fatal(err)
		}
		text := string(files[0].Data)
		if m := regexp.MustCompile(`(?:src|href)="[^#]|@import|url\([^#]`).FindString(text); m != "" {
			t.Errorf("%s: the page refers to something else: %s", name, m)
		}
		drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
		if len(drawings) != len(p.Topology.Topology().Sites) {
			t.Errorf("%s: %d drawings", name, len(drawings))
		}
		for _, d := range drawings {
			if err := xml.Unmarshal([]byte(d), new(struct{})); err != nil {
				t.Errorf("%s: %v\n%s", name, err, d)
			}
		}
		for _, d := range []string{"<script", "(reboot)</", `"inner"`} {
			if name == "awkward" && strings.Contains(text, d) {
				t.Errorf("%s: found %s", name, d)
			}
		}
	}
}
