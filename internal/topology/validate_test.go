package topology

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// enterprise is the text of the sample with one of nearly everything.
func enterprise(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/enterprise.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// edit replaces the first occurrence of old, which must exist.
func edit(t testing.TB, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("the sample has no %q", old)
	}
	return strings.Replace(text, old, new, 1)
}

// problems are those of a text, whether it does not read or makes no sense, without the name of the file.
func problems(text string) []string {
	var lines []string
	s, err := Parse("t", []byte(text))
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	} else {
		for _, p := range s.Validate() {
			lines = append(lines, p.String())
		}
	}
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "t:")
	}
	return lines
}

func TestSamplesAreValid(t *testing.T) {
	files, err := os.ReadDir("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".toml") {
			continue
		}
		s, err := Load("../../examples/" + f.Name())
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range s.Validate() {
			if p.Severity == Failure {
				t.Errorf("%s: %s", f.Name(), p)
			}
		}
	}
	if got := problems(enterprise(t)); len(got) > 0 {
		t.Errorf("the sample has problems:\n%s", strings.Join(got, "\n"))
	}
}

// TestOneMistake makes one mistake at a time and expects exactly one complaint, with its place.
func TestOneMistake(t *testing.T) {
	server := "[[pool.server]]\nfqdn = \"fe04.example.test\"\naddresses = [\"10.1.0.14\"]\n"
	var many strings.Builder
	for i := range 9 {
		many.WriteString(strings.NewReplacer("fe04", "fe2"+string(rune('0'+i)), "10.1.0.14", "10.1.0.15"+string(rune('0'+i))).Replace(server))
	}
	var golden goldenFile
	for _, c := range []struct{ name, old, new string }{
		{"unknown key", "balancing = \"dns\"\nload-balancer", "balencing = \"dns\"\nload-balancer"},
		{"unknown key in a nested table", "nat = true", "nut = true"},
		{"unknown role", `collocated = ["mediation"]`, `collocated = ["mediator"]`},
		{"bad CIDR", "10.2.0.0/16\"]", "10.2.0.0/36\"]"},
		{"an address in place of a network", "networks = [\"10.11.0.0/24\"]", "networks = [\"10.11.0.7/24\"]"},
		{"zones overlap", "networks = [\"10.12.0.0/24\"]", "networks = [\"10.12.0.0/24\", \"10.1.128.0/24\"]"},
		{"SIP domain named twice", `domains = ["example.test", "example.org"]`, `domains = ["example.test", "example.org", "example.test"]`},
		{"version of another format", "version = 1", "version = 2"},
		{"unknown pool", "next-hop = \"dirpool.example.test\"\n[pool.edge", "next-hop = \"dirpol.example.test\"\n[pool.edge"},
		{"next hop of the wrong kind", "next-hop = \"dirpool.example.test\"\n[pool.edge", "next-hop = \"medpool.example.test\"\n[pool.edge"},
		{"next hops in a circle", "kind = \"director\"", "kind = \"director\"\nnext-hop = \"edgepool.example.test\""},
		{"a pool that is its own next hop", "next-hop = \"dirpool.example.test\"\n[pool.edge", "next-hop = \"edgepool.example.test\"\n[pool.edge"},
		{"sites in a circle", "kind = \"central\"\nzone = \"inside-2\"", "kind = \"branch\"\nparent = \"airport\"\nzone = \"inside-2\""},
		{"name used twice", "fqdn = \"fe02.example.test\"", "fqdn = \"FE01.example.test\""},
		{"address used twice", "\"10.1.0.12\"", "\"10.1.0.11\""},
		{"address outside the zone", "\"10.1.0.12\"", "\"10.9.0.12\""},
		{"bad address", "\"10.1.0.12\"", "\"10.1.0.256\""},
		{"underscore in a name", "fe02.example.test", "fe_02.example.test"},
		{"thirteen Front Ends", server, server + many.String()},
		{"two-server pool", "[[pool.server]]\nfqdn = \"fe13.example.test\"\naddresses = [\"10.2.0.13\"]\n", ""},
		{"no balancing", "balancing = \"dns\"\nload-balancer = \"lb-hq\"\nweb-virtual-addresses = [\"10.1.0.20\"]", ""},
		{"pool name as internal web name", "internal-web = \"web-int01.example.test\"", "internal-web = \"pool01.example.test\""},
		{"external web name used twice", "web-ext02", "web-ext01"},
		{"same web name inside and outside", "external-web = \"web-ext01.example.test\"", "external-web = \"web-int01.example.test\""},
		{"Edge with mixed balancing", "nat = true", "nat = true\nexternal-balancing = \"hardware\""},
		{"translated addresses behind a load balancer", "balancing = \"dns\"\nnext-hop", "balancing = \"hardware\"\nnext-hop"},
		{"relay peers that are no network", "nat = true", "nat = true\nrelay-peers = [\"10.1.0.7/16\"]"},
		{"relay peers that are everybody", "nat = true", "nat = true\nrelay-peers = [\"0.0.0.0/0\"]"},
		{"relay peers on loopback", "nat = true", "nat = true\nrelay-peers = [\"127.0.0.0/8\"]"},
		{"relay peer that is an address", "nat = true", "nat = true\nrelay-peers = [\"10.1.0.7\"]"},
		{"services that share a port", "webcon.example.test\" }\nav = { fqdn = \"av.example.test\" }", "access.example.test\", port = 444 }\nav = { fqdn = \"access.example.test\" }"},
		{"IPv6 behind address translation", "access = [\"172.16.2.11\"]", "access = [\"2001:db8::11\"]"},
		{"pairing one way", "pair = \"pool01.example.test\"", ""},
		{"pairing unlike pools", "pair = \"pool01.example.test\"\nvirtualised = true", "pair = \"pool01.example.test\""},
		{"too many users", "users = 10000", "users = 30000"},
		{"two pools own the configuration", "kind = \"enterprise\"\nsite = \"dc2\"", "kind = \"enterprise\"\ncentral-management = true\nsite = \"dc2\""},
		{"collocation that is not supported", "kind = \"director\"", "kind = \"director\"\ncollocated = [\"mediation\"]"},
		{"unknown site", "site = \"dc2\"\ncollocated", "site = \"dc3\"\ncollocated"},
		{"unknown zone", "zone = \"inside\"", "zone = \"insid\""},
		{"unknown gateway", "gateway = \"gw01.example.test\"", "gateway = \"gw1.example.test\""},
		{"unknown feature", `"voice", "dial-in"`, `"voise", "dial-in"`},
		{"feature without its need", `"conferencing", "audio-video", "application-sharing", "voice", "dial-in", "call-park", "response-group",
  "announcement", "emergency", "admission-control", "media-bypass",`, `"conferencing", "audio-video", "application-sharing", "dial-in",
  "admission-control",`},
		{"chat rooms without a server", "kind = \"persistent-chat\"", "kind = \"mediation\"\nbalancing = \"dns\""},
		{"media ranges overlap", "application-sharing = { start = 40803", "video = { start = 57000, count = 8034 }\napplication-sharing = { start = 40803"},
		{"sharing range overlaps", "application-sharing = { start = 40803, count = 8348 }", "application-sharing = { start = 49152, count = 16383 }"},
		{"too few client ports", "client-audio = { start = 50020, count = 20 }", "client-audio = { start = 50020, count = 19 }"},
		{"range beyond the last port", "client-video = { start = 58000, count = 20 }", "client-video = { start = 65530, count = 20 }"},
		{"client ranges overlap", "client-file-transfer = { start = 42020, count = 20 }", "client-file-transfer = { start = 42010, count = 20 }"},
		{"media ports of a branch that has no registrar", "\n[[pool]]\n", "\n[[site]]\nname = \"ferry\"\nkind = \"branch\"\nparent = \"hq\"\nzone = \"airport\"\n[site.media]\nclient-audio = { start = 50100, count = 40 }\n\n[[pool]]\n"},
		{"bypass together with admission control", "media-bypass = \"sites\"", "media-bypass = \"always\""},
		{"region without a central site", "name = \"south\"\ncentral-site = \"dc2\"", "name = \"south\""},
		{"regions without a route", "[[network.route]]\nfrom = \"north\"\nto = \"south\"\nlinks = [\"north-south\"]\n", ""},
		{"subnet without a site", "network = \"10.11.0.0/24\"\nsite = \"harbour\"", "network = \"10.11.0.0/24\""},
		{"Edge address that admission control does not know", "[[network.subnet]]\nnetwork = \"198.51.100.23/32\"\nsite = \"hq\"\n", ""},
		{"session below the least bandwidth", "audio-session = 175", "audio-session = 30"},
		{"simple URL that contains a pool name", "https://dialin.example.test", "https://pool01.example.test/dialin"},
		{"simple URL below another", "https://dialin.example.test", "https://meet.example.test/dialin"},
		{"simple URL with a port", "https://dialin.example.test", "https://dialin.example.test:444"},
		{"route for the own domain", "match = \"rcc.example.test\"", "match = \"example.test\""},
		{"application port used twice", "port = 6001", "port = 6000"},
		{"blocked partner", "blocked = [\"spam.test\"]", "blocked = [\"partner.test\"]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := edit(t, enterprise(t), c.old, c.new)
			if c.name == "two-server pool" {
				text = edit(t, text, "users = 8000", "users = 4000")
			}
			got := problems(text)
			if len(got) != 1 {
				t.Errorf("got %d complaints:\n%s", len(got), strings.Join(got, "\n"))
				return
			}
			golden.add(c.name, text, got[0])
		})
	}
	golden.compare(t, "testdata/one_mistake.golden")
}

// goldenFile collects complaints, each with the line of the text that it points at in place of its number, so
// that the file does not change with every edit of the sample.
type goldenFile struct{ strings.Builder }

func (g *goldenFile) add(name, text, problem string) {
	number, rest, _ := strings.Cut(problem, ":")
	n, err := strconv.Atoi(number)
	lines := strings.Split(text, "\n")
	if err != nil || n < 1 || n > len(lines) {
		n, rest, lines = 1, problem, []string{"(no place)"}
	}
	fmt.Fprintf(g, "## %s\n> %s\n%s\n\n", name, lines[n-1], rest)
}

func (g *goldenFile) compare(t *testing.T, file string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(g.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if g.String() == string(want) {
		return
	}
	got, old := strings.Split(g.String(), "\n\n"), strings.Split(string(want), "\n\n")
	for i := range max(len(got), len(old)) {
		a, b := "", ""
		if i < len(got) {
			a = got[i]
		}
		if i < len(old) {
			b = old[i]
		}
		if a != b {
			t.Errorf("%s differs\ngot:\n%s\nwant:\n%s", file, a, b)
			return
		}
	}
}
