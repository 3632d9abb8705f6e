package uc_test

import (
	"testing"

	"parley/internal/uc"
)

func TestParseAOR(t *testing.T) {
	for in, want := range map[string]uc.AOR{
		"alice@example.test":        "alice@example.test",
		" Alice@Example.TEST. ":     "alice@example.test",
		"sip:alice@example.test":    "alice@example.test",
		"SIPS:+4930123@192.0.2.1":   "+4930123@192.0.2.1",
		"jürgen@example.test":       "jürgen@example.test",
		"bob@[2001:DB8::1]":         "bob@[2001:db8::1]",
		"alice":                     "",
		"@example.test":             "",
		"alice@":                    "",
		"alice@example.test:5060":   "", // a port belongs to a contact
		"tel:+4930123":              "",
		"alice smith@example.test":  "",
		"alice@exa mple.test":       "",
		"alice@example.test;lr":     "",
		"a@b@example.test":          "",
		"\x80@example.test":         "",
		"alice\r\nx@example.test":   "",
		"<sip:alice@example.test>":  "",
		"mailto:alice@example.test": "",
	} {
		got, err := uc.ParseAOR(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAOR(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestAORParts(t *testing.T) {
	a := uc.AOR("alice@example.test")
	if a.User() != "alice" || a.Domain() != "example.test" || a.URI() != "sip:alice@example.test" {
		t.Error(a.User(), a.Domain(), a.URI())
	}
	if b := uc.AOR(""); b.User() != "" || b.Domain() != "" {
		t.Error("parts of nothing")
	}
}

func TestAppendAORDoesNotAllocate(t *testing.T) {
	users := map[uc.AOR]int{"alice@example.test": 1}
	user, domain := []byte("Alice"), []byte("example.test")
	n := testing.AllocsPerRun(100, func() {
		var buf [64]byte
		b, err := uc.AppendAOR(buf[:0], user, domain)
		if err != nil || users[uc.AOR(b)] != 1 {
			t.Error("not found")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		id     uc.Identity
		text   string
		known  bool
		server bool
	}{
		{uc.Identity{}, "anonymous", false, false},
		{uc.Identity{AOR: "alice@example.test", Class: uc.Client}, "alice@example.test", true, false},
		{uc.Identity{Name: "fe1.example.test", Class: uc.Member}, "member:fe1.example.test", true, true},
		{uc.Identity{Name: "gw", Class: uc.Trunk}, "trunk:gw", true, false},
		{uc.Identity{Class: 99}, "class-99", true, false},
	} {
		if c.id.String() != c.text || c.id.Known() != c.known || c.id.Class.Server() != c.server {
			t.Errorf("%+v: %q %v %v", c.id, c.id.String(), c.id.Known(), c.id.Class.Server())
		}
	}
}
