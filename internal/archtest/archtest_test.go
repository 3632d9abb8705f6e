package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is what go list says about a package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string

	name string // ImportPath without the module and "internal/"
}

// ours lists the packages of the module, by name.
func ours(t *testing.T) map[string]*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := map[string]*pkg{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		p := &pkg{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) && len(p.GoFiles) > 0 {
			p.name = short(p.ImportPath)
			packages[p.name] = p
		}
	}
	if len(packages) == 0 {
		t.Fatal("go list names no package of ours")
	}
	return packages
}

func short(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "internal/")
}

// matches reports whether a package name fits a pattern: itself, "folder/..." for a folder and all below,
// "..." for everything of ours, "*.*/..." for everything from a host on the network.
func matches(pattern, name string) bool {
	switch {
	case pattern == "...":
		return true
	case pattern == "*.*/...":
		host, _, _ := strings.Cut(name, "/")
		return strings.Contains(host, ".")
	case strings.HasSuffix(pattern, "/..."):
		folder := strings.TrimSuffix(pattern, "/...")
		return name == folder || strings.HasPrefix(name, folder+"/")
	}
	return name == pattern
}

func anyMatch(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// forTests reports whether a package exists to be imported by tests.
func forTests(name string) bool { return strings.HasSuffix(name, "test") }

// height is the row of a package, by the longest pattern that fits.
func height(name string) (int, bool) {
	best, length := 0, -1
	for _, r := range rows {
		for _, p := range r.packages {
			if matches(p, name) && len(strings.TrimSuffix(p, "/...")) > length {
				best, length = r.height, len(strings.TrimSuffix(p, "/..."))
			}
		}
	}
	return best, length >= 0
}

func TestImports(t *testing.T) {
	packages := ours(t)
	used := map[exception]bool{}
	excepted := func(from, to string) bool {
		for _, e := range exceptions {
			if e.from == from && e.to == to {
				used[e] = true
				return true
			}
		}
		return false
	}
	for _, p := range packages {
		if anyMatch(outside, p.name) || forTests(p.name) {
			continue
		}
		h, ok := height(p.name)
		if !ok {
			t.Errorf("%s stands in no row: add it to rows", p.name)
			continue
		}
		for _, path := range p.Imports {
			to := short(path)
			if path != to || strings.HasPrefix(path, module) {
				checkRow(t, p.name, h, to)
			}
			for _, r := range rules {
				if anyMatch(r.from, p.name) && !anyMatch(r.except, p.name) && anyMatch(r.to, to) && !anyMatch(r.spare, to) && to != p.name && !onlyNames(t, p, path, r.names[to]) && !excepted(p.name, to) {
					t.Errorf("%s imports %s: %s", p.name, to, r.sentence)
				}
			}
		}
	}
	for _, e := range exceptions {
		if !used[e] {
			t.Errorf("%s no longer imports %s: remove the exception", e.from, e.to)
		}
	}
	mentioned(t, packages)
}

// onlyNames reports whether a package uses nothing of an import but some names.
func onlyNames(t *testing.T, p *pkg, path string, names []string) bool {
	t.Helper()
	if len(names) == 0 {
		return false
	}
	only := true
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && importedAs(file, x.Name) == path && !slices.Contains(names, s.Sel.Name) {
					only = false
				}
			}
			return true
		})
	}
	return only
}

func checkRow(t *testing.T, from string, h int, to string) {
	t.Helper()
	if forTests(to) {
		t.Errorf("%s imports %s: packages named ...test are imported by tests only", from, to)
		return
	}
	if anyMatch(outside, to) {
		t.Errorf("%s imports %s, which is for tests and benchmarks", from, to)
		return
	}
	if above, ok := height(to); ok && above > h {
		t.Errorf("%s (row %d) imports %s (row %d): a package imports its own row and those below", from, h, to, above)
	}
}

// mentioned checks that every package that a rule names exists, or is planned and does not.
func mentioned(t *testing.T, packages map[string]*pkg) {
	t.Helper()
	exists := func(pattern string) bool {
		for name := range packages {
			if matches(pattern, name) {
				return true
			}
		}
		return false
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.packages...)
	}
	for _, r := range rules {
		names = append(append(append(names, r.from...), r.except...), r.to...)
	}
	for _, c := range append(calls, quiet) {
		names = append(append(names, c.from...), c.except...)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if isPlanned := slices.Contains(planned, n); isPlanned && exists(n) {
			t.Errorf("%s exists now: remove it from planned", n)
		} else if !isPlanned && !exists(n) && !foreign(n) {
			t.Errorf("a rule names %s, which does not exist", n)
		}
	}
}

// foreign reports whether a pattern speaks of packages that are not ours.
func foreign(pattern string) bool {
	first, _, _ := strings.Cut(pattern, "/")
	if strings.Contains(first, ".") {
		return true
	}
	switch first {
	case "net", "crypto", "log", "os", "database":
		return true
	}
	return false
}

// TestCalls reads the source for calls that no import rule can see.
func TestCalls(t *testing.T) {
	for _, p := range ours(t) {
		if anyMatch(outside, p.name) || forTests(p.name) {
			continue
		}
		var active []call
		for _, c := range calls {
			if anyMatch(c.from, p.name) && !anyMatch(c.except, p.name) {
				active = append(active, c)
			}
		}
		silent := anyMatch(quiet.from, p.name)
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				at := func() string {
					pos := fset.Position(n.Pos())
					return fmt.Sprintf("%s/%s:%d", p.name, name, pos.Line)
				}
				switch n := n.(type) {
				case *ast.GoStmt:
					if silent {
						t.Errorf("%s starts a goroutine: %s", at(), quiet.sentence)
					}
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					if !ok {
						return true
					}
					for _, c := range active {
						if slices.Contains(c.names, n.Sel.Name) && importedAs(file, x.Name) == c.pkg {
							t.Errorf("%s uses %s.%s: %s", at(), c.pkg, n.Sel.Name, c.sentence)
						}
					}
				}
				return true
			})
		}
	}
}

// importedAs is the path of the import that a file knows by a name, or empty.
func importedAs(file *ast.File, name string) string {
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		known := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			known = i.Name.Name
		}
		if known == name {
			return path
		}
	}
	return ""
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"sip", "sip", true}, {"sip", "sip/txn", false}, {"xmldoc/...", "xmldoc", true}, {"xmldoc/...", "xmldoc/pidf", true},
		{"xmldoc/...", "xmldocs", false}, {"*.*/...", "github.com/x/y", true}, {"*.*/...", "encoding/xml", false}, {"...", "a", true},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %t", c.pattern, c.name, got)
		}
	}
	if h, ok := height("service/registrar"); !ok || h != 5 {
		t.Errorf("a service stands in row %d", h)
	}
	if h, ok := height("sip/txn"); !ok || h != 1 {
		t.Errorf("sip/txn stands in row %d", h)
	}
}
