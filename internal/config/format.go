package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Format writes a commented node file with the values of c. What equals the default is written as a comment,
// so that a reader sees everything there is and what was chosen here. Sections are written with their
// defaults. Secrets are written in full: the file is for its owner only.
func Format(c Config, sections ...Section) []byte {
	var b strings.Builder
	b.WriteString("# The node file of Parley: who this node is and how it reaches what it needs. Users, policies and the\n" +
		"# deployment as a whole are not here. Keys written as comments have their default value.\n")
	def := Default()
	cv, dv := reflect.ValueOf(c), reflect.ValueOf(def)
	for i := range cv.NumField() {
		f := cv.Type().Field(i)
		section(&b, f.Tag.Get("toml"), f.Tag.Get("doc"), cv.Field(i), dv.Field(i))
	}
	for _, s := range sections {
		v := reflect.ValueOf(s.New()).Elem()
		section(&b, s.Name, s.Doc, v, v)
	}
	return []byte(b.String())
}

// Sample is the node file that documentation shows: everything at its default, with an example name.
func Sample(sections ...Section) []byte {
	c := Default()
	c.Node.FQDN = "server.example.test"
	return Format(c, sections...)
}

func section(b *strings.Builder, name, doc string, v, def reflect.Value) {
	fmt.Fprintln(b)
	wrap(b, doc)
	fmt.Fprintf(b, "[%s]\n", name)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key == "" || key == "-" {
			continue
		}
		doc := f.Tag.Get("doc")
		if f.Tag.Get("reload") == "restart" {
			doc += " Read at start."
		}
		wrap(b, doc)
		value, same := text(v.Field(i)), reflect.DeepEqual(v.Field(i).Interface(), def.Field(i).Interface())
		switch {
		case same && v.Field(i).IsZero() && f.Tag.Get("example") != "":
			example := strconv.Quote(f.Tag.Get("example"))
			if v.Field(i).Kind() == reflect.Slice {
				example = "[" + example + "]"
			}
			fmt.Fprintf(b, "# %s = %s\n", key, example)
		case same:
			fmt.Fprintf(b, "# %s = %s\n", key, value)
		default:
			fmt.Fprintf(b, "%s = %s\n", key, value)
		}
	}
}

// wrap writes text as comment lines of at most 100 columns.
func wrap(b *strings.Builder, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 100 {
			fmt.Fprintln(b, line)
			line = "#"
		}
		line += " " + word
	}
	if line != "#" {
		fmt.Fprintln(b, line)
	}
}

// text is a value as TOML.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Secret:
		return strconv.Quote(x.Reveal())
	case encoding.TextMarshaler:
		t, _ := x.MarshalText()
		return strconv.Quote(string(t))
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = text(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		return "{}"
	default:
		return fmt.Sprint(v.Interface())
	}
}
