package main

import (
	"reflect"
	"testing"
)

func TestBencode(t *testing.T) {
	in := map[string]any{"command": "offer", "replace": []any{"origin", ""}, "codec": map[string]any{"mask": []any{"all"}}}
	b := bencode(nil, in)
	if want := "d5:codecd4:maskl3:allee7:command5:offer7:replacel6:origin0:ee"; string(b) != want {
		t.Errorf("%s", b)
	}
	got, rest, err := bdecode(append(b, 'x'))
	if err != nil || string(rest) != "x" || !reflect.DeepEqual(got, in) {
		t.Errorf("%v %q %v", got, rest, err)
	}
	if v, _, err := bdecode([]byte("d1:ai42ee")); err != nil || v.(map[string]any)["a"] != "42" {
		t.Error(v, err)
	}
	for _, bad := range []string{"", "5:ab", "i4", "l", "d1:a", "x", "-1:a"} {
		if _, _, err := bdecode([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
