package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/internal/tomlfile"
)

var update = flag.Bool("update", false, "rewrite sample.toml")

const minimal = "[node]\nfqdn = 'server.example.test'\n"

func TestDefaults(t *testing.T) {
	f, err := Parse("parley.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Node.FQDN = "server.example.test"
	if !reflect.DeepEqual(f.Config, want) {
		t.Errorf("got %+v\nwant %+v", f.Config, want)
	}
}

// TestSample keeps sample.toml equal to what the types say, and both readable.
func TestSample(t *testing.T) {
	got := Sample()
	if *update {
		if err := os.WriteFile("sample.toml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("sample.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("sample.toml differs from the types: run go test ./internal/config -run TestSample -update")
	}
	if _, err := Parse("sample.toml", want); err != nil {
		t.Error(err)
	}
	// Every key that is written as a comment must be accepted with the value shown.
	var all []string
	for line := range strings.Lines(string(want)) {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), " = "); ok && !strings.Contains(key, " ") {
			line = strings.TrimPrefix(line, "# ")
		}
		all = append(all, line)
	}
	f, err := Parse("sample.toml", []byte(strings.Join(all, "")))
	if err != nil {
		t.Fatal(err)
	}
	def := Default()
	def.Node.FQDN = "server.example.test"
	def.Listen.Addresses, def.Listen.Enable, def.Bus.Routes = []netip.Addr{}, []string{}, []AddrPort{}
	if !reflect.DeepEqual(f.Config, def) {
		t.Errorf("the values in the sample are not the defaults:\ngot  %+v\nwant %+v", f.Config, def)
	}
}

// TestTags makes sure that every key is documented and says how a change takes effect.
func TestTags(t *testing.T) {
	c := reflect.TypeFor[Config]()
	for i := range c.NumField() {
		s := c.Field(i)
		if s.Tag.Get("toml") == "" || s.Tag.Get("doc") == "" {
			t.Errorf("section %s lacks a tag", s.Name)
		}
		for j := range s.Type.NumField() {
			f := s.Type.Field(j)
			if f.Tag.Get("toml") == "" || !strings.HasSuffix(f.Tag.Get("doc"), ".") {
				t.Errorf("%s.%s has no key or no documentation that ends with a full stop", s.Name, f.Name)
			}
			if r := f.Tag.Get("reload"); r != "live" && r != "restart" {
				t.Errorf("%s.%s: reload is %q", s.Name, f.Name, r)
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "p:1:1: node.fqdn: the node has no name (for example fqdn = \"server.example.test\")"},
		{"unknown section", minimal + "[lsten]\n", `p:3:2: lsten: unknown key "lsten" (did you mean "listen"?)`},
		{"unknown key", minimal + "[listen]\nofset = 1\n", `p:4:1: listen.ofset: unknown key "ofset" (did you mean "offset"?)`},
		{"single label", "[node]\nfqdn = 'server'\n", `p:2:1: node.fqdn: "server" is not a fully qualified name: it has a single label; an example is server1.example.test`},
		{"offset too small", minimal + "[listen]\noffset = 80\n", "p:4:1: listen.offset: offset 80 would leave ports below 1024 or put them out of range (0, or 1024 to 60000)"},
		{"unknown row", minimal + "[listen]\nenable = ['srv-fe-frontend-506']\n", `p:4:11: listen.enable[0]: the port plan has no row "srv-fe-frontend-506" (did you mean "srv-fe-frontend-5060"?)`},
		{"admin for everybody", minimal + "[admin]\nlisten = '0.0.0.0:9480'\n", `p:4:1: admin.listen: 0.0.0.0:9480 is not a loopback address, and nothing there is authenticated (for example "127.0.0.1:9480", or "off")`},
		{"bus member without address", minimal + "[bus]\nmode = 'member'\n", `p:3:2: bus.listen: a member of the bus needs an address to listen on (for example listen = "10.0.0.11:6222")`},
		{"bus mode", minimal + "[bus]\nmode = 'both'\n", `p:4:1: bus.mode: "both" is no mode of the bus; known are alone, member, external`},
		{"external bus without address", minimal + "[bus]\nmode = 'external'\n", `p:3:2: bus.url: the external bus has no address (for example url = "nats://bus.example.test:4222")`},
		{"message too small", minimal + "[limits]\nclient-message = '1KiB'\n", "p:4:1: limits.client-message: 1KiB is out of range (from 64KiB to 256KiB)"},
		{"expiry upside down", minimal + "[limits]\nexpires-default = '20m'\n", "p:4:1: limits.expires-default: 20m is out of range (from 5m to 15m)"},
		{"time span", minimal + "[drain]\ndeadline = '30 seconds'\n", `p:4:1: drain.deadline: "30 seconds" is not a time span; examples are 30s, 5m, 1h30m`},
		{"level", minimal + "[log]\nlevel = 'loud'\n", `p:4:1: log.level: "loud" is no log level; known are debug, info, warn, error`},
		{"address", minimal + "[listen]\naddresses = ['localhost']\n", `p:4:14: listen.addresses[0]: "localhost" is not an IP address; an example is 10.0.0.1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("p", []byte(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
			var errs tomlfile.Errors
			if !errors.As(err, &errs) {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

type parkSection struct {
	Timeout Duration `toml:"timeout" doc:"How long." reload:"live"`
	Music   string   `toml:"music" doc:"Which." reload:"restart"`
	Key     Secret   `toml:"key" doc:"Never shown." reload:"live"`
	Odd     int      `toml:"odd" doc:"No word about reload."`
}

func (s *parkSection) Validate() error {
	if s.Timeout == 0 {
		return &FieldError{Key: "timeout", Text: "a parked call needs time", Fix: "10s to 10m"}
	}
	return nil
}

func park() Section {
	return Section{Name: "callpark", New: func() any { return &parkSection{Timeout: Duration(90 * time.Second)} }, Doc: "Parked calls."}
}

func TestSections(t *testing.T) {
	f, err := Parse("p", []byte(minimal+"[callpark]\nmusic = 'calm'\n"), park())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Section("callpark").(*parkSection); got.Music != "calm" || got.Timeout.Std() != 90*time.Second {
		t.Errorf("got %+v", got)
	}
	if f.Section("other") != nil {
		t.Error("a section that was not registered")
	}
	if f, err := Parse("p", []byte(minimal), park()); err != nil || f.Section("callpark").(*parkSection).Timeout == 0 {
		t.Errorf("an absent section has no defaults: %v", err)
	}
	_, err = Parse("p", []byte(minimal+"[callpark]\ntimeout = '0s'\n"), park())
	if want := "p:4:1: callpark.timeout: a parked call needs time (10s to 10m)"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	sample := string(Sample(park()))
	if !strings.Contains(sample, "# Parked calls.\n[callpark]\n# How long.\n# timeout = \"1m30s\"\n") {
		t.Errorf("sample:\n%s", sample)
	}
}

func TestDiff(t *testing.T) {
	parse := func(text string) *File {
		f, err := Parse("p", []byte(minimal+text), park())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	old := parse("[store]\ndsn = 'postgres://u:hunter2@db/parley'\n[callpark]\nkey = 'abc'\n")
	new := parse("[listen]\noffset = 10000\n[log]\nlevel = 'debug'\n[store]\ndsn = 'postgres://u:hunter3@db/parley'\n[callpark]\nkey = 'abd'\nodd = 1\n")
	var got []string
	for _, c := range Diff(old, new) {
		got = append(got, fmt.Sprintf("%s %t %s", c.Section, c.Live, c))
	}
	want := []string{
		"listen false listen.offset: 0 -> 10000 (takes effect at the next start)",
		"store false store.dsn: changed (takes effect at the next start)",
		`log true log.level: "info" -> "debug"`,
		"callpark true callpark.key: changed",
		"callpark false callpark.odd: 0 -> 1 (takes effect at the next start)",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := Diff(old, old); len(d) > 0 {
		t.Errorf("no difference gives %v", d)
	}
}

func TestFormatReadsBack(t *testing.T) {
	c := Default()
	c.Node.FQDN = "fe1.example.test"
	c.Listen = Listen{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")}, Offset: 10000, SIPTCP: true, Enable: []string{"ext-x"}}
	c.Store.DSN = NewSecret(`postgres://u:"p\w"@h/d`)
	c.Bus = Bus{Mode: BusMember, Listen: AddrPort{netip.MustParseAddrPort("10.0.0.1:6222")}, Routes: []AddrPort{{netip.MustParseAddrPort("10.0.0.2:6222")}}}
	c.Admin.Listen = AddrPort{}
	f, err := Parse("p", Format(c))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Config, c) {
		t.Errorf("got  %#v\nwant %#v", f.Config, c)
	}
	if !f.Listen.Enabled("ext-x") || f.Listen.Enabled("ext-y") || f.Listen.Enabled(RowSIPUDP) || !f.Listen.Enabled(RowSIPTCP) {
		t.Error("switches")
	}
}

func TestSecretsStaySecret(t *testing.T) {
	s := NewSecret("hunter2")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if out := fmt.Sprintf(verb, struct{ S Secret }{s}); strings.Contains(out, "hunter2") || strings.Contains(out, "68756e") {
			t.Errorf("%s shows %s", verb, out)
		}
	}
	if b, _ := s.MarshalText(); string(b) != "[redacted]" {
		t.Errorf("marshals as %s", b)
	}
	if s.Reveal() != "hunter2" || (Secret{}).String() != "" {
		t.Error("reveal")
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{"0": 0, "4096": 4096, "128KiB": 128 << 10, "5MB": 5e6, "2 GiB": 2 << 30, "7B": 7} {
		var s ByteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v", text, s, err)
		}
		var again ByteSize
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q prints as %s, which reads as %d", text, s, again)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MB", "9999999999GiB", "1 KiB B"} {
		var s ByteSize
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %d", text, s)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{"90s": "1m30s", "5m": "5m", "1h": "1h", "1h30m": "1h30m", "0s": "0s", "250ms": "250ms"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%q: %s, %v", text, d, err)
		}
	}
}

// FuzzParse checks that no node file makes reading panic, and that what is accepted can be written and read
// again as the same configuration.
func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add(string(Sample()))
	f.Add(minimal + "[limits]\nexpires-max = '1h'\n[listen]\naddresses = ['::1']\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("p", []byte(text))
		if err != nil {
			return
		}
		again, err := Parse("q", Format(file.Config))
		if err != nil {
			t.Fatalf("%q: written as %s: %v", text, Format(file.Config), err)
		}
		for _, c := range Diff(file, again) {
			if !strings.HasSuffix(c.Text, ": [] -> []") {
				t.Fatalf("%q: round trip changes %v", text, c)
			}
		}
	})
}
