package topology

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func sample(t testing.TB) *Snapshot {
	t.Helper()
	s, err := Parse("enterprise.toml", []byte(enterprise(t)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhoAmI(t *testing.T) {
	s := sample(t)
	for name, want := range map[FQDN][]Role{
		"fe01.example.test":        {RoleFrontEnd, RoleMediation, RoleCentralManagement},
		"FE02.example.test.":       {RoleFrontEnd, RoleMediation},
		"edge01.example.test":      {RoleEdge},
		"sba.harbour.example.test": {RoleBranch, RoleMediation},
	} {
		m, ok := s.Node(name)
		if !ok || !reflect.DeepEqual(m.Roles, want) {
			t.Errorf("%s: got %v, want %v", name, m, want)
		}
	}
	for _, name := range []FQDN{"gw01.example.test", "pool01.example.test", "nobody.example.test", "bot01.example.test"} {
		if _, ok := s.Node(name); ok {
			t.Errorf("%s is taken for a node", name)
		}
	}
	m, _ := s.Node("edge01.example.test")
	if m.Zone.Name != "dmz" || m.Site.Name != "hq" || m.Pool.NextHop != "dirpool.example.test" {
		t.Errorf("edge: %+v", m)
	}
	if n := len(s.Members("pool01.example.test")); n != 4 {
		t.Errorf("%d members", n)
	}
	if got := s.PoolsWith(RoleMediation); len(got) != 5 {
		t.Errorf("%d pools with Mediation, want 5", len(got))
	}
}

func TestPeers(t *testing.T) {
	s := sample(t)
	for name, want := range map[string]PeerKind{
		"fe01.example.test": PeerServer, "pool01.example.test": PeerServer, "EDGE01.example.test": PeerServer,
		"bots.example.test": PeerApplication, "bot02.example.test": PeerApplication, "rcc.example.test": PeerApplication,
		"gw01.example.test": PeerGateway, "db01.example.test": 0, "example.test": 0, "sip.example.test": 0, "proxy.example.test": 0,
	} {
		if p, _ := s.Peer(name); p.Kind != want {
			t.Errorf("%s is %v, want %v", name, p.Kind, want)
		}
	}
	for _, c := range []struct {
		name string
		port uint16
		want bool
	}{
		{"fe01.example.test", 5061, true}, {"bots.example.test", 6000, true}, {"bot01.example.test", 6001, true},
		{"bot01.example.test", 6002, false}, {"rcc.example.test", 5060, true}, {"stranger.example.test", 5061, false},
	} {
		if got := s.Trusted(c.name, c.port); got != c.want {
			t.Errorf("Trusted(%s, %d) = %t", c.name, c.port, got)
		}
	}
	if p, ok := s.PeerAt(netip.MustParseAddr("::ffff:10.1.0.62")); !ok || p.Name != "pbx01.example.test" {
		t.Errorf("got %+v", p)
	}
	if _, ok := s.PeerAt(netip.MustParseAddr("10.1.0.71")); ok {
		t.Error("a database server is taken for a SIP peer")
	}
}

func TestChallengedApplication(t *testing.T) {
	s, err := Parse("t", []byte(edit(t, enterprise(t), "fqdn = \"bots.example.test\"", "fqdn = \"bots.example.test\"\nchallenge = true")))
	if err != nil {
		t.Fatal(err)
	}
	if s.Trusted("bot01.example.test", 6000) {
		t.Error("an application that is to be challenged is believed")
	}
}

func TestDomainsAndRoutes(t *testing.T) {
	s := sample(t)
	for name, want := range map[string]bool{"example.test": true, "EXAMPLE.org.": true, "partner.test": false, "sub.example.test": false, "": false} {
		if got := s.OwnDomain(name); got != want {
			t.Errorf("OwnDomain(%q) = %t", name, got)
		}
	}
	if !s.OwnHost("pool01.example.test") || !s.OwnHost("fe01.example.test") || s.OwnHost("gw01.example.test") {
		t.Error("own hosts")
	}
	for host, want := range map[string]string{"rcc.example.test": "rcc.example.test", "a.pbx.test": "pbx01.example.test", "A.B.PBX.test": "pbx01.example.test", "pbx.test": "", "xpbx.test": "", "example.test": ""} {
		r, ok := s.StaticRoute(host, false, "pool01.example.test")
		if r.Destination != want || ok != (want != "") {
			t.Errorf("route for %s leads to %q, want %q", host, r.Destination, want)
		}
	}
	if r, _ := s.StaticRoute("rcc.example.test", false, ""); r.PortOrDefault() != 5060 {
		t.Errorf("port %d", r.PortOrDefault())
	}
	if r, _ := s.StaticRoute("x.pbx.test", false, ""); r.PortOrDefault() != 5061 {
		t.Errorf("port %d", r.PortOrDefault())
	}
}

func TestRoutePreference(t *testing.T) {
	s := NewSnapshot(&Topology{StaticRoutes: []StaticRoute{
		{Match: "*.test", Destination: "wide"},
		{Match: "*.example.test", Destination: "narrow"},
		{Match: "pbx.example.test", Destination: "phones", PhoneOnly: true},
		{Match: "pbx.example.test", Destination: "all"},
		{Match: "pool.example.test", Destination: "one", Pool: "pool01.example.test"},
	}}, 1)
	for _, c := range []struct {
		host  string
		phone bool
		pool  FQDN
		want  string
	}{
		{"a.test", false, "", "wide"}, {"a.example.test", false, "", "narrow"}, {"pbx.example.test", false, "", "all"},
		{"pbx.example.test", true, "", "phones"}, {"pool.example.test", false, "pool01.example.test", "one"},
		{"pool.example.test", false, "pool02.example.test", "narrow"},
	} {
		if r, _ := s.StaticRoute(c.host, c.phone, c.pool); r.Destination != c.want {
			t.Errorf("%s phone=%t pool=%s: %q, want %q", c.host, c.phone, c.pool, r.Destination, c.want)
		}
	}
}

func TestScopes(t *testing.T) {
	s := sample(t)
	hq, _ := s.Site("hq")
	if m := s.MediaAt(hq); m.Audio != (PortRange{49152, 8348}) || m.AppSharing.Start != 40803 || !m.ClientRangesOn() || m.ClientSIP != (PortRange{7100, 3}) {
		t.Errorf("media: %+v", m)
	}
	branch := &Site{Name: "b", Parent: "hq"}
	if got := s.FeaturesAt(branch); !got.Has(Voice) {
		t.Error("a branch does not have the features of its centre")
	}
	if z := s.ZoneOf(netip.MustParseAddr("10.11.0.77")); z == nil || z.Name != "harbour" {
		t.Errorf("zone %v", z)
	}
	if z := s.ZoneOf(netip.MustParseAddr("8.8.8.8")); z == nil || z.Name != "internet" {
		t.Errorf("zone %v", z)
	}
	p, _ := s.Pool("pool01.example.test")
	if got := s.UsersOf(p); got != 10000 {
		t.Errorf("%d users", got)
	}
}

func TestFormatReadsBack(t *testing.T) {
	s := sample(t)
	again, err := Parse("formatted", Format(s.Topology()))
	if err != nil {
		t.Fatal(err)
	}
	if d := Diff(s.Topology(), again.Topology()); len(d) > 0 {
		t.Errorf("differences after a round trip: %v", d)
	}
	if !reflect.DeepEqual(s.Topology(), again.Topology()) {
		t.Error("a round trip changes the topology")
	}
}

func TestSingle(t *testing.T) {
	top := Single("example.test", "server.example.test", netip.MustParseAddr("127.0.0.1"))
	s, err := Parse("single", Format(top))
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Validate(); len(p) > 0 {
		t.Errorf("problems: %v", p)
	}
	m, ok := s.Node("server.example.test")
	if !ok || !m.Has(RoleFrontEnd) || !m.Has(RoleCentralManagement) || m.Has(RoleEdge) {
		t.Errorf("node: %+v", m)
	}
}

func TestDiff(t *testing.T) {
	a := sample(t)
	text := enterprise(t)
	for _, e := range [][2]string{
		{"balancing = \"dns\"\nload-balancer = \"lb-hq\"\nweb-virtual-addresses = [\"10.1.0.10\"]", "balancing = \"hardware\"\nvirtual-addresses = [\"10.1.0.10\"]"},
		{"[[pool.server]]\nfqdn = \"fe04.example.test\"\naddresses = [\"10.1.0.14\"]\n", ""},
		{"application-sharing = { start = 40803, count = 8348 }", "application-sharing = { start = 40000, count = 8348 }"},
		{"[[host]]\nfqdn = \"dns01.example.test\"", "[[host]]\nfqdn = \"dns02.example.test\""},
		{"users = 300\n", "users = 400\n"},
	} {
		text = edit(t, text, e[0], e[1])
	}
	b, err := Parse("b", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Diff(a.Topology(), b.Topology()) {
		got = append(got, c.String())
	}
	want := []string{
		"- host dns01.example.test",
		"+ host dns02.example.test",
		"~ media, application-sharing: 40803-49150 -> 40000-48347",
		"~ pool pool01.example.test, balancing: dns -> hardware",
		"- pool pool01.example.test, load-balancer: lb-hq",
		"- pool pool01.example.test, server fe04.example.test",
		"~ pool pool01.example.test, server order: fe01.example.test, fe02.example.test, fe03.example.test, fe04.example.test -> fe01.example.test, fe02.example.test, fe03.example.test",
		"+ pool pool01.example.test, virtual-addresses: 10.1.0.10",
		"- pool pool01.example.test, web-virtual-addresses: 10.1.0.10",
		"~ site harbour, users: 300 -> 400",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzParse checks that no document makes reading, checking or asking panic, and that what is valid can be
// written and read again as the same topology.
func FuzzParse(f *testing.F) {
	f.Add(enterprise(f))
	f.Add(string(Format(Single("example.test", "server.example.test", netip.MustParseAddr("127.0.0.1")))))
	f.Add("[[pool]]\nkind='edge'\nnext-hop='a.b'\n[[pool.server]]\n[[site]]\nparent='x'\nname='x'\n")
	f.Add("[[network.route]]\nlinks=['a']\n[[network.link]]\nname='a'\n[[zone]]\nnetworks=['::/0']\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		usable := !Failed(s.Validate())
		for _, m := range s.Machines() {
			s.Peer(string(m.FQDN))
			s.FeaturesAt(m.Site)
			s.MediaAt(m.Site)
		}
		for i := range s.Topology().Pools {
			s.UsersOf(&s.Topology().Pools[i])
		}
		s.StaticRoute("a.b", true, "")
		if !usable {
			return // what has no name cannot be written so that it reads
		}
		again, err := Parse("g", Format(s.Topology()))
		if err != nil {
			t.Fatalf("%q: written as %q: %v", text, Format(s.Topology()), err)
		}
		if d := Diff(s.Topology(), again.Topology()); len(d) > 0 {
			t.Fatalf("%q: round trip differs: %v", text, d)
		}
	})
}

func ExampleSnapshot_Trusted() {
	s := NewSnapshot(Single("example.test", "server.example.test"), 1)
	fmt.Println(s.Trusted("server.example.test", 5061), s.Trusted("stranger.example.test", 5061))
	// Output: true false
}
