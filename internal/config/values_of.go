package config

import (
	"reflect"
	"strings"
)

// Value is one key of a node file as it is in force.
type Value struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Value   string `json:"value"` // as TOML; a secret that is set is "[redacted]"
	Default bool   `json:"default"`
	Live    bool   `json:"live"` // a running node takes up a change
	Doc     string `json:"doc"`
}

// Values lists every key of the file, in the order of the sample file.
func (f *File) Values() []Value {
	var out []Value
	def := Default()
	v, d := reflect.ValueOf(f.Config), reflect.ValueOf(def)
	for i := range v.NumField() {
		out = append(out, values(v.Type().Field(i).Tag.Get("toml"), v.Field(i), d.Field(i))...)
	}
	for _, s := range f.order {
		if have := f.sections[s.Name]; have != nil {
			out = append(out, values(s.Name, reflect.ValueOf(have).Elem(), reflect.ValueOf(s.New()).Elem())...)
		}
	}
	return out
}

func values(section string, v, def reflect.Value) []Value {
	var out []Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key == "" || key == "-" {
			continue
		}
		shown := text(v.Field(i))
		if s, secret := v.Field(i).Interface().(Secret); secret {
			shown = `"` + s.String() + `"`
		}
		out = append(out, Value{section, key, shown, reflect.DeepEqual(v.Field(i).Interface(), def.Field(i).Interface()),
			f.Tag.Get("reload") == "live", f.Tag.Get("doc")})
	}
	return out
}
