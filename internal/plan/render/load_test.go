package render_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parley/internal/plan"
	"parley/internal/plan/render/bind"
	"parley/internal/plan/render/cisco"
	"parley/internal/plan/render/cloud"
	"parley/internal/plan/render/csr"
	"parley/internal/plan/render/haproxy"
	"parley/internal/plan/render/nftables"
	"parley/internal/plan/render/nginx"
	"parley/internal/plan/render/panos"
	"parley/internal/plan/render/strongswan"
	"parley/internal/plan/render/windows"
	"parley/internal/topology"
)

// tool finds a program. Without it the test is skipped, and fails where everything must be there.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("PARLEY_CI") == "1" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing", name)
	}
	return path
}

// isolated runs a shell script in a network of its own.
func isolated(t *testing.T, script string, args ...string) (string, error) {
	t.Helper()
	unshare := tool(t, "unshare")
	if err := exec.Command(unshare, "-n", "true").Run(); err != nil {
		if os.Getenv("PARLEY_CI") == "1" {
			t.Fatalf("no network namespaces: %v", err)
		}
		t.Skipf("no network namespaces: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), unshare, append([]string{"-n", "sh", "-c", script, "sh"}, args...)...).CombinedOutput()
	return string(out), err
}

var names = []string{"small", "remote", "enterprise", "hardware", "large", "branches"}

func planned(t testing.TB, name string) *plan.Plan {
	t.Helper()
	s, err := topology.Load("../../../examples/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	return plan.Resolve(s)
}

// awkwardPlan has names with all that could break a language, and both address families.
func awkwardPlan(t testing.TB) *plan.Plan {
	t.Helper()
	text, err := os.ReadFile("../../../examples/remote.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Parse("awkward", []byte(strings.NewReplacer(
		`"carrier"`, `"it's \"a\" $(reboot) `+"`id`"+` {x} \\ ; # / \u00e9 \n newline"`,
		`name = "perimeter"`, `name = "outer & \"inner\" /"`, `perimeter = "perimeter"`, `perimeter = "outer & \"inner\" /"`,
		`addresses = ["10.0.0.11"]`, `addresses = ["10.0.0.11", "fd00::11"]`,
		`networks = ["10.0.0.0/16"]`, `networks = ["10.0.0.0/16", "fd00::/64"]`,
		`access = ["192.0.2.2"]`, `access = ["192.0.2.2", "fd01::2"]`,
		`"192.0.2.0/28"]`, `"192.0.2.0/28", "fd01::/64"]`).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return plan.Resolve(s)
}

// each runs a test for every sample.
func each(t *testing.T, make func(*plan.Plan) ([]plan.File, error), check func(t *testing.T, p *plan.Plan, files []plan.File, dir string)) {
	for _, name := range append([]string{"awkward"}, names...) {
		t.Run(name, func(t *testing.T) {
			var p *plan.Plan
			if name == "awkward" {
				p = awkwardPlan(t)
			} else {
				p = planned(t, name)
			}
			files, err := make(p)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range files {
				file := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			check(t, p, files, dir)
		})
	}
}

func TestNftablesLoads(t *testing.T) {
	tool(t, "nft")
	check := func(t *testing.T, p *plan.Plan, files []plan.File, dir string) {
		// Loading twice must give the same as loading once.
		out, err := isolated(t, `cd "$1"; for f in *.nft; do cat "$f" "$f"; echo flush ruleset; done | nft -f -`, dir)
		if err != nil {
			t.Fatal(out)
		}
	}
	each(t, nftables.Firewall, check)
	each(t, nftables.QoS, check)
}

// TestRulesNameEveryRow checks that no row of the flows is lost on the way to the rules of firewalls.
func TestRulesNameEveryRow(t *testing.T) {
	for _, name := range names {
		p := planned(t, name)
		have := map[string]bool{}
		for _, fw := range append(p.Routers(), p.HostFirewalls()...) {
			ids := map[string]bool{}
			if len(fw.Missing) > 0 {
				t.Errorf("%s: %s: missing %v", name, fw.Name, fw.Missing)
			}
			for _, r := range fw.Rules {
				if ids[r.ID] {
					t.Errorf("%s: %s repeats %s", name, fw.Name, r.ID)
				}
				ids[r.ID] = true
				for _, row := range r.Rows {
					have[row] = true
				}
				if l := r.Label(127); len(l) > 127 || !strings.HasPrefix(l, r.ID+" "+r.Rows[0]) {
					t.Errorf("label %q", l)
				}
			}
		}
		product := map[string]bool{}
		for _, m := range p.Topology.Machines() {
			if m.Pool != nil {
				product[string(m.FQDN)] = true
			}
		}
		for _, f := range p.Flows {
			// What ends at machines outside the product and crosses no router is nobody's rule.
			if f.Boundary() == plan.Within && (len(f.To.Hosts) == 0 || !product[f.To.Hosts[0].Name]) {
				continue
			}
			if !have[f.Row] {
				t.Errorf("%s: %s from %s to %s is in no rule", name, f.Row, f.From.Name, f.To.Name)
			}
		}
	}
}

func TestHAProxyAccepts(t *testing.T) {
	program := tool(t, "haproxy")
	each(t, haproxy.Balancer, func(t *testing.T, p *plan.Plan, files []plan.File, dir string) {
		if len(p.Virtuals()) == 0 {
			return // HAProxy refuses a configuration without any service
		}
		out, err := exec.Command(program, "-c", "-f", filepath.Join(dir, "haproxy.cfg")).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("WARNING")) || bytes.Contains(out, []byte("ALERT")) {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestNginxAccepts(t *testing.T) {
	tool(t, "nginx")
	openssl := tool(t, "openssl")
	check := func(t *testing.T, p *plan.Plan, files []plan.File, dir string) {
		for _, x := range p.Publications() {
			base := filepath.Join(dir, string(x.Proxy)+"-listener")
			if out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", base+".key", "-out", base+".crt", "-subj", "/CN=x").CombinedOutput(); err != nil {
				t.Fatalf("%s", out)
			}
		}
		for _, f := range files {
			// The addresses of the balancer are not ours: let it listen on them all the same.
			out, err := isolated(t, `echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind; echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind; nginx -t -c "$1/$2" -g "pid $1/nginx.pid; error_log stderr;"`, dir, f.Name)
			if err != nil || strings.Contains(out, "[warn]") {
				t.Errorf("%s: %v\n%s", f.Name, err, out)
			}
		}
	}
	each(t, nginx.Balancer, check)
	each(t, nginx.Proxy, check)
}

// TestNoListenerTwice checks what HAProxy would let pass: two services on one address and port share connections
// at random.
func TestNoListenerTwice(t *testing.T) {
	for _, name := range names {
		seen := map[string]bool{}
		for _, v := range planned(t, name).Virtuals() {
			for _, a := range v.Addresses {
				at := fmt.Sprint(a, v.Port, v.Transport())
				if seen[at] {
					t.Errorf("%s: %s of %s has %s port %d, as another", name, v.Name, v.Pool, a, v.Port)
				}
				seen[at] = true
			}
		}
	}
}

func TestZonesCheck(t *testing.T) {
	program := tool(t, "named-checkzone")
	each(t, bind.DNS, func(t *testing.T, p *plan.Plan, files []plan.File, dir string) {
		for _, f := range files {
			zone := strings.TrimPrefix(filepath.Base(f.Name), "db.")
			// Names in other zones are not looked up: there are no name servers here.
			out, err := exec.Command(program, "-i", "local", "-k", "fail", "-m", "fail", "-n", "fail", "-r", "fail", zone, filepath.Join(dir, f.Name)).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s", f.Name, out)
			}
		}
		if len(files) == 0 {
			t.Error("no zones")
		}
	})
}

func TestRequestsVerify(t *testing.T) {
	program := tool(t, "openssl")
	for _, name := range []string{"remote"} {
		p := planned(t, name)
		files, err := csr.Requests(p)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		text := map[string]string{}
		for _, f := range files {
			if f.Secret != strings.HasSuffix(f.Name, ".key") {
				t.Errorf("%s: secret is %v", f.Name, f.Secret)
			}
			file := filepath.Join(dir, f.Name)
			if err := os.WriteFile(file, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range files {
			if f.Secret {
				continue
			}
			file := filepath.Join(dir, f.Name)
			out, err := exec.Command(program, "req", "-verify", "-noout", "-text", "-in", file).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("verify OK")) {
				t.Errorf("%s: %v\n%s", f.Name, err, out)
			}
			text[f.Name] = string(out)
			a, _ := exec.Command(program, "req", "-pubkey", "-noout", "-in", file).Output()
			b, _ := exec.Command(program, "pkey", "-pubout", "-in", strings.TrimSuffix(file, ".csr")+".key").Output()
			if len(a) == 0 || !bytes.Equal(a, b) {
				t.Errorf("%s does not go with its key", f.Name)
			}
		}
		for _, c := range p.Certificates() {
			out := text[string(c.Machine)+"-"+string(c.Use)+".csr"]
			for _, n := range c.Request.Names {
				if !strings.Contains(out, "DNS:"+n) {
					t.Errorf("%s %s: the request lacks %s", c.Machine, c.Use, n)
				}
			}
		}
	}
}

// grammar checks each line of files against patterns: one must fit the whole line.
func grammar(t *testing.T, files []plan.File, lines ...string) {
	t.Helper()
	all := regexp.MustCompile("^(?:" + strings.Join(lines, "|") + ")$")
	for _, f := range files {
		n := 0
		for line := range strings.Lines(string(f.Data)) {
			n++
			if line = strings.TrimRight(line, "\n"); !all.MatchString(line) {
				t.Fatalf("%s:%d: %s", f.Name, n, line)
			}
		}
	}
}

func TestCiscoGrammar(t *testing.T) {
	const (
		v4     = `\d+\.\d+\.\d+\.\d+`
		v6     = `[0-9a-f:]+`
		object = `(?:any|host (?:` + v4 + `|` + v6 + `)|` + v4 + ` ` + v4 + `|` + v6 + `/\d+|object-group PARLEY-[0-9A-F]{8})`
	)
	each(t, cisco.Firewall, func(t *testing.T, _ *plan.Plan, files []plan.File, _ string) {
		grammar(t, files, `!.*`, `object-group network PARLEY-[0-9A-F]{8}`, ` network-object (?:host (?:`+v4+`|`+v6+`)|`+v4+` `+v4+`|`+v6+`/\d+)`,
			`access-list [A-Za-z0-9-]+ remark [ -~]{1,100}`,
			`access-list [A-Za-z0-9-]+ extended permit (?:tcp|udp) `+object+` `+object+` (?:eq \d+|range \d+ \d+)`,
			`access-list [A-Za-z0-9-]+ extended deny ip any any log`, `access-group [A-Za-z0-9-]+ in interface [A-Za-z0-9-]+`)
		for _, f := range files {
			// A group is defined before it is used.
			text := string(f.Data)
			for _, m := range regexp.MustCompile(`object-group (PARLEY-\S+)`).FindAllStringSubmatch(text, -1) {
				define, use := strings.Index(text, "object-group network "+m[1]), strings.Index(text, "object-group "+m[1])
				if define < 0 || use >= 0 && use < define {
					t.Fatalf("%s: %s is used before it is defined", f.Name, m[1])
				}
			}
		}
	})
}

func TestPANOSGrammar(t *testing.T) {
	const list = `(?:[A-Za-z0-9._-]+|\[ (?:[A-Za-z0-9._-]+ )+\])`
	each(t, panos.Firewall, func(t *testing.T, _ *plan.Plan, files []plan.File, _ string) {
		grammar(t, files, `#.*`, `configure`, `set address [A-Za-z0-9._-]{1,63} ip-netmask [0-9a-f.:]+/\d+`,
			`set service [A-Za-z0-9._-]{1,63} protocol (?:tcp|udp) port \d+(?:-\d+)?`,
			`set rulebase security rules [A-Za-z0-9][A-Za-z0-9._-]{0,62} from [A-Za-z0-9-]+ to [A-Za-z0-9-]+ source `+list+` destination `+list+` service [A-Za-z0-9._-]+ application any action allow log-end yes description "[^"]{1,255}"`,
			`set rulebase security rules [A-Za-z0-9._-]{1,63} from any to any source any destination any service any application any action deny log-end yes`)
		for _, f := range files {
			seen := map[string]bool{}
			for _, m := range regexp.MustCompile(`(?m)^set rulebase security rules (\S+)`).FindAllStringSubmatch(string(f.Data), -1) {
				if seen[m[1]] {
					t.Errorf("%s: two rules are called %s", f.Name, m[1])
				}
				seen[m[1]] = true
			}
		}
	})
}

func TestWindowsGrammar(t *testing.T) {
	const (
		str  = `'(?:[^'\n]|'')*'`
		list = `(?:` + str + `|@\(` + str + `(?:, ` + str + `)*\))`
	)
	lines := []string{``, `#.*`, `\$ErrorActionPreference = 'Stop'`, `Get-Net(?:Firewall|IPsec)Rule -Group 'Parley' -ErrorAction SilentlyContinue \| Remove-Net(?:Firewall|IPsec)Rule`,
		`Get-NetQosPolicy -ErrorAction SilentlyContinue \| Where-Object Name -like 'Parley-\*' \| Remove-NetQosPolicy -Confirm:\$false`,
		`New-NetFirewallRule -Name ` + str + ` -DisplayName ` + str + ` -Description ` + str + ` -Group 'Parley' -Direction Inbound -Action Allow -Profile Any -Protocol (?:TCP|UDP) -LocalPort '\d+(?:-\d+)?' -LocalAddress ` + list + ` -RemoteAddress ` + list + ` \| Out-Null`,
		`New-NetIPsecRule -Name ` + str + ` -DisplayName ` + str + ` -Description ` + str + ` -Group 'Parley' -Profile Any -InboundSecurity None -OutboundSecurity None -Protocol (?:TCP|UDP) -LocalPort '(?:Any|\d+(?:-\d+)?)' -LocalAddress ` + list + ` -RemoteAddress 'Any' \| Out-Null`,
		`New-NetQosPolicy -Name ` + str + ` -NetworkProfile All -IPProtocolMatchCondition (?:TCP|UDP) -IP(?:Src|Dst)PortStartMatchCondition \d+ -IP(?:Src|Dst)PortEndMatchCondition \d+ -DSCPAction \d+ \| Out-Null # [a-z0-9-]+`,
		`if \(-not \(Get-DnsServerZone -Name ` + str + ` -ErrorAction SilentlyContinue\)\) \{ Add-DnsServerPrimaryZone -Name ` + str + ` -ZoneFile ` + str + ` \}`,
		`Add-DnsServerResourceRecord(?:A -ZoneName ` + str + ` -Name ` + str + ` -IPv4Address|AAAA -ZoneName ` + str + ` -Name ` + str + ` -IPv6Address) ` + str + ` -ErrorAction SilentlyContinue`,
		`Add-DnsServerResourceRecord -Srv -ZoneName ` + str + ` -Name ` + str + ` -DomainName ` + str + ` -Priority 0 -Weight 0 -Port \d+ -ErrorAction SilentlyContinue`,
	}
	for _, make := range []func(*plan.Plan) ([]plan.File, error){windows.Firewall, windows.IPsec, windows.QoS, windows.DNS} {
		each(t, make, func(t *testing.T, _ *plan.Plan, files []plan.File, _ string) { grammar(t, files, lines...) })
	}
}

// TestExceptionsAreAll checks that all fifteen exceptions reach both outputs from some sample.
func TestExceptionsAreAll(t *testing.T) {
	found := map[string]string{}
	for _, name := range names {
		p := planned(t, name)
		for what, make := range map[string]func(*plan.Plan) ([]plan.File, error){"windows": windows.IPsec, "strongswan": strongswan.IPsec} {
			files, err := make(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				found[what] += string(f.Data)
			}
		}
	}
	for what, text := range found {
		rows := map[string]bool{}
		for _, id := range regexp.MustCompile(`ipsec-(?:[a-z-]*-(?:in|out)|clients)\b`).FindAllString(text, -1) {
			rows[id] = true
		}
		if len(rows) != 15 {
			t.Errorf("%s has %d rows: %v", what, len(rows), rows)
		}
	}
}

// TestTerraform checks what Terraform and the providers check first: known arguments, limits, references.
func TestTerraform(t *testing.T) {
	type doc struct {
		Resource map[string]map[string]map[string]any
	}
	read := func(t *testing.T, files []plan.File) doc {
		var d doc
		if len(files) != 1 {
			t.Fatalf("%d files", len(files))
		}
		if err := stdjson.Unmarshal(files[0].Data, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	identifier := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	t.Run("aws", func(t *testing.T) {
		each(t, cloud.AWS, func(t *testing.T, p *plan.Plan, files []plan.File, _ string) {
			d := read(t, files)
			description := regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)
			for name, r := range d.Resource["aws_vpc_security_group_ingress_rule"] {
				group := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(r["security_group_id"]), "${aws_security_group."), ".id}")
				if !identifier.MatchString(name) || d.Resource["aws_security_group"][group] == nil || !description.MatchString(fmt.Sprint(r["description"])) ||
					(r["cidr_ipv4"] == nil) == (r["cidr_ipv6"] == nil) {
					t.Fatalf("%s: %v", name, r)
				}
			}
			if len(d.Resource["aws_security_group"]) != len(p.HostFirewalls()) {
				t.Error("a machine has no group")
			}
		})
	})
	t.Run("azure", func(t *testing.T) {
		each(t, cloud.Azure, func(t *testing.T, p *plan.Plan, files []plan.File, _ string) {
			for name, g := range read(t, files).Resource["azurerm_network_security_group"] {
				priorities, called := map[any]bool{}, map[any]bool{}
				for _, v := range g["security_rule"].([]any) {
					r := v.(map[string]any)
					n := r["priority"].(float64)
					if priorities[n] || called[r["name"]] || n < 100 || n > 4096 || len(r["description"].(string)) > 140 || len(r["name"].(string)) > 80 {
						t.Fatalf("%s: %v", name, r)
					}
					priorities[n], called[r["name"]] = true, true
				}
			}
		})
	})
}
