package config

import (
	"strings"
	"testing"
)

func TestSetChangesOneLineAndNothingElse(t *testing.T) {
	before := "# head\n[node]\nfqdn = \"a.example.test\" # me\n\n[listen]\n# Shift.\n# offset = 0\nsip-udp = true\n\n[log]\n"
	for _, c := range []struct{ section, key, value, want string }{
		{"listen", "sip-udp", "false", strings.Replace(before, "sip-udp = true", "sip-udp = false", 1)},
		{"listen", "offset", "10000", strings.Replace(before, "# offset = 0", "offset = 10000", 1)},
		{"listen", "sip-tcp", "false", strings.Replace(before, "sip-udp = true\n", "sip-udp = true\nsip-tcp = false\n", 1)},
		{"log", "level", `"warn"`, before + "level = \"warn\"\n"},
		{"drain", "deadline", `"5s"`, before + "\n[drain]\ndeadline = \"5s\"\n"},
		{"log", "offset", "1", before + "offset = 1\n"}, // not the one of [listen]
	} {
		got, err := Set([]byte(before), c.section, c.key, c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s.%s = %s: %v\n%s\nwant\n%s", c.section, c.key, c.value, err, got, c.want)
		}
	}
	if _, err := Set([]byte("[listen]\nenable = [\n\"a\",\n]\n"), "listen", "enable", "[]"); err == nil {
		t.Error("an array on several lines was edited")
	}
}

func TestSetOnTheSampleFileParses(t *testing.T) {
	text, err := Set(Sample(), "listen", "offset", "10000")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(FileName, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if f.Listen.Offset != 10000 {
		t.Fatalf("offset is %d", f.Listen.Offset)
	}
}
