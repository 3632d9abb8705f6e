package tomlfile

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Decode binds the document to v, a pointer to a struct. Keys that the struct does not have are errors, with
// the nearest key as a suggestion. Extra holds further values for top-level keys that the struct does not
// know, each a pointer: sections that belong to somebody else.
//
// The error is an Errors with every complaint. Fields whose key is absent keep their value, so v may be
// filled with defaults before.
func (d *Document) Decode(v any, extra map[string]any) error {
	dec := decoder{}
	dec.table(d.root, reflect.ValueOf(v).Elem(), extra)
	if len(dec.errs) > 0 {
		slices.SortStableFunc(dec.errs, func(a, b *Error) int {
			if a.Place.Line != b.Place.Line {
				return a.Place.Line - b.Place.Line
			}
			return a.Place.Column - b.Place.Column
		})
		return dec.errs
	}
	return nil
}

type decoder struct{ errs Errors }

func (d *decoder) fail(n *node, fix, format string, args ...any) {
	d.errs = append(d.errs, &Error{Place: n.place, Text: fmt.Sprintf(format, args...), Fix: fix})
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

func (d *decoder) value(n *node, v reflect.Value) {
	if v.CanAddr() && v.Addr().Type().Implements(textType) {
		d.text(n, v.Addr().Interface().(encoding.TextUnmarshaler))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem())
	case reflect.Struct:
		d.table(n, v, nil)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice:
		d.array(n, v)
	case reflect.String:
		if d.want(n, "a string in quotes", unstable.String) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if d.want(n, "true or false", unstable.Bool) {
			v.SetBool(n.text == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if d.want(n, "a whole number", unstable.Integer) {
			i, err := strconv.ParseInt(digits(n.text), 0, v.Type().Bits())
			if err != nil {
				d.fail(n, "", "%s is out of range", n.text)
				return
			}
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if d.want(n, "a whole number", unstable.Integer) {
			u, err := strconv.ParseUint(strings.TrimPrefix(digits(n.text), "+"), 0, v.Type().Bits())
			if err != nil {
				d.fail(n, fmt.Sprintf("from 0 to %d", uint64(1)<<v.Type().Bits()-1), "%s is out of range", n.text)
				return
			}
			v.SetUint(u)
		}
	case reflect.Float32, reflect.Float64:
		if d.want(n, "a number", unstable.Float, unstable.Integer) {
			f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), v.Type().Bits())
			if err != nil {
				d.fail(n, "", "%s is out of range", n.text)
				return
			}
			v.SetFloat(f)
		}
	default:
		panic("tomlfile: cannot decode into " + v.Type().String())
	}
}

func digits(s string) string { return strings.ReplaceAll(s, "_", "") }

// want checks the kind of a node and complains when it is another.
func (d *decoder) want(n *node, what string, kinds ...unstable.Kind) bool {
	if slices.Contains(kinds, n.kind) {
		return true
	}
	d.fail(n, "", "is %s, want %s", describe(n), what)
	return false
}

func describe(n *node) string {
	switch n.kind {
	case unstable.Table:
		return "a table"
	case unstable.Array:
		return "an array"
	case unstable.String:
		return "the string " + strconv.Quote(n.text)
	case unstable.Bool:
		return n.text
	case unstable.Integer, unstable.Float:
		return "the number " + n.text
	default:
		return "the date or time " + n.text
	}
}

func (d *decoder) text(n *node, u encoding.TextUnmarshaler) {
	if !d.want(n, "a string in quotes", unstable.String) {
		return
	}
	err := u.UnmarshalText([]byte(n.text))
	if err == nil {
		return
	}
	switch u.(type) { // the standard library's own words speak of functions
	case *netip.Addr:
		d.fail(n, "", "%q is not an IP address; an example is 10.0.0.1", n.text)
	case *netip.Prefix:
		d.fail(n, "", "%q is not a network; an example is 10.0.0.0/16", n.text)
	default:
		d.fail(n, "", "%v", err)
	}
}

func (d *decoder) array(n *node, v reflect.Value) {
	if !d.want(n, "an array", unstable.Array) {
		return
	}
	if n.fromTables && v.Type().Elem().Kind() != reflect.Struct && v.Type().Elem().Kind() != reflect.Map {
		d.fail(n, "", "is a list of tables, want an array of values")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.elems), len(n.elems))
	for i, e := range n.elems {
		d.value(e, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n *node, v reflect.Value) {
	if !d.want(n, "a table", unstable.Table) {
		return
	}
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	for _, key := range n.keys {
		k := reflect.New(t.Key()).Elem()
		if k.Addr().Type().Implements(textType) {
			if err := k.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(key)); err != nil {
				d.fail(n.children[key], "", "key %q: %v", key, err)
				continue
			}
		} else {
			k.SetString(key)
		}
		e := reflect.New(t.Elem()).Elem()
		d.value(n.children[key], e)
		v.SetMapIndex(k, e)
	}
}

func (d *decoder) table(n *node, v reflect.Value, extra map[string]any) {
	if n.kind == unstable.Array && n.fromTables {
		d.fail(n, "", "is written [[%s]], want one table [%s]", n.place.Path, n.place.Path)
		return
	}
	if !d.want(n, "a table", unstable.Table) {
		return
	}
	known := fields(v.Type())
	for _, key := range n.keys {
		child := n.children[key]
		if i, ok := known[key]; ok {
			d.value(child, v.FieldByIndex(i))
			continue
		}
		if p, ok := extra[key]; ok {
			d.value(child, reflect.ValueOf(p).Elem())
			continue
		}
		var names []string
		for k := range known {
			names = append(names, k)
		}
		for k := range extra {
			names = append(names, k)
		}
		slices.Sort(names)
		fix := "known here: " + strings.Join(names, ", ")
		if near := Nearest(key, names); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		d.fail(child, fix, "unknown key %q", key)
	}
}

// fields maps the keys of a struct type to its fields. A field without a tag is not in the document;
// embedded structs contribute their fields.
func fields(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("toml") == "" {
			for k, index := range fields(f.Type) {
				out[k] = append([]int{i}, index...)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if f.IsExported() && name != "" && name != "-" {
			out[name] = []int{i}
		}
	}
	return out
}

// Nearest is the candidate most like word, or empty when none is close enough to be what was meant.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		if d := distance(word, c); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			above := row[j+1]
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}
