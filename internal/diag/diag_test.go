package diag

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the page from the table")

const page = "../../docs/protocols/diagnostics.md"

func TestHeader(t *testing.T) {
	for _, row := range []struct {
		id           ID
		detail, want string
	}{
		{HandshakeFailed, "", `ms-diagnostics: 1000;reason="Final handshake failed";source="fe1.example.test"`},
		{HandshakeFailed, "a \"quote\"\r\nand a line", `ms-diagnostics: 1000;reason="Final handshake failed: a 'quote'  and a line";source="fe1.example.test"`},
		{UserDisabled, "", `ms-diagnostics-public: 4141;reason="User disabled"`}, // [MS-OCER] 2.2.1: never a source
	} {
		h := row.id.Header("fe1.example.test", row.detail)
		if got := h.Name + ": " + h.Value; got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
	if got := WebTicketExpired.WebValue("fe1.example.test", ""); got != `28033;source="fe1.example.test";reason="The web ticket has expired"` {
		t.Error(got)
	}
	if e := NotInPool.Error("fe1.example.test", "gone"); e.Code != 404 || len(e.Headers) != 1 || e.Diagnostic != "gone" {
		t.Errorf("%+v", e)
	}
}

func TestTable(t *testing.T) {
	all := Table()
	if !slices.IsSortedFunc(all, func(a, b Entry) int { return int(a.ID) - int(b.ID) }) {
		t.Error("rows are not in the order of their ids")
	}
	for i, e := range all {
		if i > 0 && all[i-1].ID == e.ID {
			t.Errorf("%d twice", e.ID)
		}
		if e.Status < 400 || e.Reason == "" || !strings.HasSuffix(e.Meaning, ".") || quotable(e.Reason) != e.Reason {
			t.Errorf("row %+v", e)
		}
		if (e.ID >= 28000 && e.ID < 29000) != (e.Channel == Web) {
			t.Errorf("%d by %v", e.ID, e.Channel)
		}
	}
}

// The page that administrators read is the table.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Error reports

What clients are told when a request is refused, and what it means. Lync-protocol clients show the reason, or write it
to their logs with the number. The first field is for clients inside and names the server; the public one may be shown to
anybody. Statuses are those the report usually comes with. Numbers and reasons follow [MS-OCER] as far as it is public.

| Number | Status | Field | Reason | What it means |
|---|---|---|---|---|
`)
	for _, e := range Table() {
		fmt.Fprintf(&b, "| %d | %d | %v | %s | %s |\n", e.ID, e.Status, e.Channel, e.Reason, e.Meaning)
	}
	b.WriteString("\nThe page is made from the table in `internal/diag`: `go test ./internal/diag -update`.\n")
	if *update {
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not what the table says (%v): go test ./internal/diag -update", page, err)
	}
}

var (
	report = regexp.MustCompile(`(?i)^(x-)?ms-diagnostics(-public)?:?|;reason="`)
	number = regexp.MustCompile(`^\d{4,5};`)
)

// Numbers and fields are written here and nowhere else, and every number is used.
func TestNoNumberElsewhere(t *testing.T) {
	names := constants(t)
	unused := map[string]bool{}
	for name := range names {
		unused[name] = true
	}
	for _, top := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if d != nil && d.IsDir() && (d.Name() == "diag" || d.Name() == "testdata") {
					return fs.SkipDir
				}
				return err
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil // somebody is writing it
			}
			uses := imports(file)
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && uses && x.Name == "diag" {
						delete(unused, n.Sel.Name)
					}
				case *ast.BasicLit:
					if bad(n, uses, names) {
						t.Errorf("%s: %s: reports are made by package diag", fset.Position(n.Pos()), n.Value)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range unused {
		t.Errorf("%s is used nowhere", name)
	}
}

func imports(file *ast.File) bool {
	return slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"parley/internal/diag"` })
}

// bad reports whether a literal is a report, or the number of one, made by hand.
func bad(n *ast.BasicLit, uses bool, names map[string]ID) bool {
	switch n.Kind {
	case token.STRING:
		s, err := strconv.Unquote(n.Value)
		return err == nil && (report.MatchString(s) || number.MatchString(s))
	case token.INT:
		v, err := strconv.Atoi(n.Value)
		if err != nil {
			return false
		}
		for _, id := range names {
			// Round numbers stand for other things elsewhere, but not where reports are made.
			if int(id) == v && (v >= 28000 || uses && v%1000 != 0) {
				return true
			}
		}
	}
	return false
}

// constants reads the IDs from the source, and checks that each has a row.
func constants(t *testing.T) map[string]ID {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "diag.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]ID{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if x, ok := v.Type.(*ast.Ident); ok && x.Name == "ID" {
				n, err := strconv.Atoi(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all[v.Names[0].Name] = ID(n)
			}
		}
	}
	if len(all) != len(table) {
		t.Errorf("%d constants, %d rows", len(all), len(table))
	}
	for name, id := range all {
		if !slices.ContainsFunc(table[:], func(e Entry) bool { return e.ID == id }) {
			t.Errorf("%s has no row", name)
		}
	}
	return all
}
