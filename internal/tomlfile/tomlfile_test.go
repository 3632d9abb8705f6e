package tomlfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type level string

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "low" && string(b) != "high" {
		return fmt.Errorf("%q is no level; known are low, high", b)
	}
	*l = level(b)
	return nil
}

type server struct {
	Name string `toml:"name"`
	Port uint16 `toml:"port"`
}

type embedded struct {
	Extra string `toml:"extra"`
}

type document struct {
	embedded
	Title   string           `toml:"title"`
	Count   int              `toml:"count"`
	Small   int8             `toml:"small"`
	Ratio   float64          `toml:"ratio"`
	On      bool             `toml:"on"`
	Maybe   *bool            `toml:"maybe"`
	Level   level            `toml:"level"`
	Words   []string         `toml:"words"`
	Levels  map[level]string `toml:"levels"`
	Inline  server           `toml:"inline"`
	Servers []server         `toml:"server"`
	Groups  []struct {
		Name    string   `toml:"name"`
		Servers []server `toml:"server"`
	} `toml:"group"`
	hidden int
}

func decode(t *testing.T, text string) (document, *Document, error) {
	t.Helper()
	var v document
	d, err := Parse("test.toml", []byte(text))
	if err != nil {
		return v, nil, err
	}
	return v, d, d.Decode(&v, nil)
}

func TestDecodeEverything(t *testing.T) {
	text := `
title = "x"   # comment
extra = 'e'
count = 1_000
small = -5
ratio = 2
on = true
maybe = false
level = "high"
words = [
  "a", # one
  "b",
]
levels = { low = "l", high = "h" }
inline = { name = "i", port = 0x10 }
[[server]]
name = "s1"
[[server]]
name = "s2"
port = 65535
[[group]]
name = "g1"
[[group.server]]
name = "g1s1"
[[group.server]]
name = "g1s2"
[[group]]
name = "g2"
[[group.server]]
name = "g2s1"
`
	d, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v document
	if err := d.Decode(&v, nil); err != nil {
		t.Fatal(err)
	}
	off := false
	want := document{embedded: embedded{"e"}, Title: "x", Count: 1000, Small: -5, Ratio: 2, On: true, Maybe: &off, Level: "high",
		Words: []string{"a", "b"}, Levels: map[level]string{"low": "l", "high": "h"}, Inline: server{"i", 16},
		Servers: []server{{"s1", 0}, {"s2", 65535}}}
	want.Groups = v.Groups
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got  %+v\nwant %+v", v, want)
	}
	if len(v.Groups) != 2 || len(v.Groups[0].Servers) != 2 || v.Groups[1].Servers[0].Name != "g2s1" {
		t.Errorf("groups: %+v", v.Groups)
	}
	for path, want := range map[string]string{
		"title":                   "test.toml:2:1: title",
		"words[1]":                "test.toml:12:3: words[1]",
		"inline.port":             "test.toml:15:24: inline.port",
		"server[1].port":          "test.toml:20:1: server[1].port",
		"server[0].port":          "test.toml:16:3: server[0].port", // absent: the nearest part
		"group[1].server[0].name": "test.toml:30:1: group[1].server[0].name",
		"group[0].server[1].name": "test.toml:26:1: group[0].server[1].name",
		"levels.low":              "test.toml:14:12: levels.low",
		"nothing.here":            "test.toml:1:1: nothing.here",
		"server[7]":               "test.toml:16:3: server[7]",
	} {
		if got := d.Place(path).String(); got != want {
			t.Errorf("Place(%q) = %s, want %s", path, got, want)
		}
	}
}

// TestErrors reads testdata/errors.txt: documents and the complaints about them, separated by rules.
func TestErrors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "errors.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Split(string(data), "\n====\n") {
		text, want, ok := strings.Cut(c, "\n----\n")
		if !ok {
			t.Fatalf("case without a rule: %q", c)
		}
		_, _, err := decode(t, text)
		got := "<none>"
		if err != nil {
			got = err.Error()
			var errs Errors
			if !errors.As(err, &errs) {
				t.Errorf("error of type %T", err)
			}
		}
		if got != strings.TrimSuffix(want, "\n") {
			t.Errorf("document:\n%s\ngot:\n%s\nwant:\n%s", text, got, want)
		}
	}
}

func TestExtraSections(t *testing.T) {
	d, err := Parse("x", []byte("title = 'a'\n[mine]\nname = 'b'\n"))
	if err != nil {
		t.Fatal(err)
	}
	var v document
	mine := &server{Port: 7}
	if err := d.Decode(&v, map[string]any{"mine": mine}); err != nil {
		t.Fatal(err)
	}
	if v.Title != "a" || *mine != (server{"b", 7}) || !d.Has("mine") || d.Has("yours") {
		t.Errorf("got %+v %+v", v, mine)
	}
	if err := d.Decode(&document{}, nil); err == nil || !strings.Contains(err.Error(), `unknown key "mine"`) {
		t.Errorf("got %v", err)
	}
}

func TestDefaultsStay(t *testing.T) {
	d, err := Parse("x", []byte("on = true\n[inline]\nname = 'n'"))
	if err != nil {
		t.Fatal(err)
	}
	v := document{Title: "kept", Inline: server{Port: 9}}
	if err := d.Decode(&v, nil); err != nil {
		t.Fatal(err)
	}
	if v.Title != "kept" || v.Inline != (server{"n", 9}) {
		t.Errorf("got %+v", v)
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := Parse("x", make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("got %v", err)
	}
	deep := "a = " + strings.Repeat("[", 200) + strings.Repeat("]", 200)
	if _, err := Parse("x", []byte(deep)); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"address", "balancing", "fqdn", "site"}
	for word, want := range map[string]string{"adress": "address", "fdqn": "fqdn", "sites": "site", "balance": "balancing", "xyz": ""} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct{ path, key, want string }{{"", "a", "a"}, {"a", "b", "a.b"}, {"a", "example.test", `a."example.test"`}} {
		if got := Join(c.path, c.key); got != c.want {
			t.Errorf("Join(%q, %q) = %s, want %s", c.path, c.key, got, c.want)
		}
	}
	got := splitPath(`a[2].b."c.d"[0]`)
	if want := []string{"a", "2", "b", "c.d", "0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzDecode checks that no text makes the reader panic, that every complaint has a place inside the text,
// and that what is accepted is accepted again.
func FuzzDecode(f *testing.F) {
	f.Add("title = 'x'\n[[server]]\nname = 'a'\n")
	f.Add("levels = { low = 'l' }\nwords = ['a', ['b']]\n")
	f.Add("[group.server]\n[[group]]\n")
	f.Add("a.b.c = 1\n[a]\nb.d = 2")
	f.Add("inline = 1979-05-27T07:32:00Z")
	f.Add("\"\" = 1\n[\"a.b\".c]\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse("f", []byte(text))
		if err == nil {
			var v document
			err = d.Decode(&v, nil)
			if err == nil {
				var again document
				if err := d.Decode(&again, nil); err != nil || !reflect.DeepEqual(v, again) && v.Ratio == v.Ratio {
					t.Fatalf("%q decodes differently the second time: %v", text, err)
				}
			}
		}
		var errs Errors
		if err != nil && !errors.As(err, &errs) {
			t.Fatalf("error of type %T: %v", err, err)
		}
		for _, e := range errs {
			if e.Place.Line > strings.Count(text, "\n")+1 || e.Text == "" {
				t.Fatalf("%q: complaint outside the text: %v", text, e)
			}
		}
	})
}
