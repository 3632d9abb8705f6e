package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is one key whose value differs between two node files.
type Change struct {
	Section string
	Key     string
	Live    bool   // a running node takes it up; otherwise it needs to be started again
	Text    string // "listen.offset: 0 -> 10000"; secrets are not shown
}

// String says what changed and what that takes.
func (c Change) String() string {
	if c.Live {
		return c.Text
	}
	return c.Text + " (takes effect at the next start)"
}

// Diff lists what is different in new, in the order of the sample file. Both files must have been read with
// the same sections.
func Diff(old, new *File) []Change {
	var out []Change
	ov, nv := reflect.ValueOf(old.Config), reflect.ValueOf(new.Config)
	for i := range ov.NumField() {
		out = append(out, diffSection(ov.Type().Field(i).Tag.Get("toml"), ov.Field(i), nv.Field(i))...)
	}
	for _, s := range new.order {
		o, n := old.sections[s.Name], new.sections[s.Name]
		if o != nil && n != nil {
			out = append(out, diffSection(s.Name, reflect.ValueOf(o).Elem(), reflect.ValueOf(n).Elem())...)
		}
	}
	return out
}

// diffSection compares field by field. A field without the tag reload needs a restart: silence must not make
// a change look as if it had been taken up.
func diffSection(name string, old, new reflect.Value) []Change {
	var out []Change
	for i := range old.NumField() {
		f := old.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key == "" || key == "-" || reflect.DeepEqual(old.Field(i).Interface(), new.Field(i).Interface()) {
			continue
		}
		what := fmt.Sprintf("%s -> %s", text(old.Field(i)), text(new.Field(i)))
		if _, secret := new.Field(i).Interface().(Secret); secret {
			what = "changed"
		}
		out = append(out, Change{name, key, f.Tag.Get("reload") == "live", fmt.Sprintf("%s.%s: %s", name, key, what)})
	}
	return out
}
