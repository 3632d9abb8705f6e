package topology

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two topologies.
type Change struct {
	Path string `json:"path"`          // what changed, by names: "pool pool01.example.test, server fe1.example.test, addresses"
	Old  string `json:"old,omitempty"` // empty when it was added
	New  string `json:"new,omitempty"` // empty when it was removed
}

// String prints a change as "+ path: value", "- path: value" or "~ path: old -> new".
func (c Change) String() string {
	switch {
	case c.Old == "":
		return "+ " + c.Path + colon(c.New)
	case c.New == "":
		return "- " + c.Path + colon(c.Old)
	}
	return "~ " + c.Path + ": " + c.Old + " -> " + c.New
}

func colon(v string) string {
	if v == present {
		return ""
	}
	return ": " + v
}

// present is the value of an entry as a whole, so that an added pool is one line and not twenty.
const present = "present"

// Diff lists what is different in b, ordered by path. Entries of lists are compared by name, so moving one
// is no change, except for servers, whose order is that of their first start.
func Diff(a, b *Topology) []Change {
	before, after := map[string]string{}, map[string]string{}
	flatten("", reflect.ValueOf(a).Elem(), before)
	flatten("", reflect.ValueOf(b).Elem(), after)
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	var out []Change
	whole := "" // an entry that came or went as a whole
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		if whole != "" && strings.HasPrefix(p, whole+", ") {
			continue
		}
		old, was := before[p]
		new, is := after[p]
		if was && is && old == new {
			continue
		}
		if old == present || new == present {
			whole = p
		}
		out = append(out, Change{Path: p, Old: old, New: new})
	}
	return out
}

var marshalerType = reflect.TypeFor[encoding.TextMarshaler]()

// flatten writes every value that is set under a path made of names.
func flatten(path string, v reflect.Value, out map[string]string) {
	join := func(step string) string {
		if path == "" {
			return step
		}
		return path + ", " + step
	}
	switch {
	case v.IsZero():
	case v.Type().Implements(marshalerType):
		text, _ := v.Interface().(encoding.TextMarshaler).MarshalText()
		out[path] = string(text)
	case v.Kind() == reflect.Pointer:
		flatten(path, v.Elem(), out)
	case v.Type() == reflect.TypeFor[PortRange]():
		out[path] = v.Interface().(PortRange).String()
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
			if f := v.Field(i); f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct && !f.Type().Elem().Implements(marshalerType) {
				entries(join(name), name, f, out)
			} else {
				flatten(join(name), f, out)
			}
		}
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			flatten(join(fmt.Sprint(k)), v.MapIndex(k), out)
		}
	case v.Kind() == reflect.Slice:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = fmt.Sprint(v.Index(i))
		}
		out[path] = strings.Join(words, ", ")
	default:
		out[path] = fmt.Sprint(v)
	}
}

// entries flattens a list of tables, each under its name.
func entries(path, key string, list reflect.Value, out map[string]string) {
	var order []string
	for i := range list.Len() {
		e := list.Index(i)
		name := nameOf(e)
		for out[path+" "+name] != "" {
			name += "'" // two entries of one name are an error elsewhere, and still two
		}
		order = append(order, name)
		out[path+" "+name] = present
		flatten(path+" "+name, e, out)
	}
	if key == "server" && len(order) > 0 {
		out[path+" order"] = strings.Join(order, ", ")
	}
}

// nameOf is what an entry is known by: the value of its first text fields.
func nameOf(e reflect.Value) string {
	for _, keys := range [][]string{{"FQDN"}, {"Name"}, {"ID"}, {"Domain"}, {"Match"}, {"Network"}, {"From", "To"}} {
		var parts []string
		for _, k := range keys {
			if f := e.FieldByName(k); f.IsValid() {
				parts = append(parts, fmt.Sprint(f))
			}
		}
		if len(parts) == len(keys) {
			return strings.Join(parts, " to ")
		}
	}
	return "?"
}
