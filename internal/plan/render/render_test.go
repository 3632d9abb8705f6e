// Package render_test checks all printers on one document whose cells are as awkward as a topology allows.
package render_test

import (
	"bytes"
	stdcsv "encoding/csv"
	stdjson "encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"parley/internal/plan"
	"parley/internal/plan/render/csv"
	"parley/internal/plan/render/json"
	"parley/internal/plan/render/markdown"
	"parley/internal/plan/render/table"
	"parley/internal/topology"
)

func awkward() *plan.Document {
	return &plan.Document{
		Kind: "test", Title: "Title with | and *",
		Columns: []plan.Column{{Key: "group", Title: "Group"}, {Key: "row", Title: "Row"}, {Key: "text", Title: "Text"}, {Key: "notes", Title: "Notes"}},
		Rows: [][]string{
			{"b", "srv-fe-frontend-5061", `quote " comma, pipe | end`, ""},
			{"a", "srv-fe-frontend-5060", "=HYPERLINK(\"http://x\")", "<script>"},
			{"b", "", strings.Repeat("long ", 40), "line\nbreak"},
		},
		Notes:    []string{"A note."},
		Problems: []topology.Problem{{Severity: topology.Warning, Text: "something"}},
	}
}

func render(t *testing.T, f func(io.Writer, *plan.Document) error, d *plan.Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCSV(t *testing.T) {
	recs, err := stdcsv.NewReader(strings.NewReader(render(t, csv.Render, awkward()))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := append([][]string{{"group", "row", "text", "notes"}}, awkward().Rows...)
	want[2][2] = "'" + want[2][2] // a spreadsheet must not run it
	if !reflect.DeepEqual(recs, want) {
		t.Errorf("got %q\nwant %q", recs, want)
	}
}

func TestJSON(t *testing.T) {
	text := render(t, json.Render, awkward())
	var got struct {
		Kind     string
		Rows     []map[string]string
		Notes    []string
		Warnings []topology.Problem
	}
	if err := stdjson.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != "test" || len(got.Rows) != 3 || got.Rows[0]["text"] != awkward().Rows[0][2] || len(got.Notes) != 1 || len(got.Warnings) != 1 {
		t.Errorf("got %+v", got)
	}
	if i, j := strings.Index(text, `"group"`), strings.Index(text, `"notes"`); i < 0 || j < i {
		t.Error("keys are not in the order of the columns")
	}
	if empty := render(t, json.Render, &plan.Document{Kind: "test"}); !strings.Contains(empty, `"rows": []`) {
		t.Errorf("no rows print as %s", empty)
	}
}

func TestMarkdown(t *testing.T) {
	text := render(t, markdown.Render, awkward())
	tables := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if strings.HasPrefix(line, "| --- ") {
			tables++
		}
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); n != 4 {
			t.Errorf("a line with %d bars: %s", n, line)
		}
	}
	if tables != 2 || strings.Contains(text, "<script") || !strings.Contains(text, "## Warnings") {
		t.Errorf("%d tables:\n%s", tables, text)
	}
}

func TestTable(t *testing.T) {
	text := render(t, table.Render, awkward())
	b, a := strings.Index(text, "Group: b\n"), strings.Index(text, "Group: a\n")
	if b < 0 || a < b || !strings.Contains(text, "...") || !strings.Contains(text, "Note: A note.") {
		t.Errorf("got\n%s", text)
	}
	if empty := render(t, table.Render, &plan.Document{Title: "Empty"}); !strings.Contains(empty, "Nothing to show") {
		t.Errorf("got %s", empty)
	}
}
