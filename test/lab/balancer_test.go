package lab

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"parley/internal/plan"
	"parley/internal/plan/render/haproxy"
	"parley/internal/probe"
	"parley/internal/topology"
	"parley/test/server"
)

const balanced = `version = 1
domains = ["example.test"]
features = ["conferencing"]
[[site]]
name = "main"
kind = "central"
[[pool]]
fqdn = "pool.example.test"
kind = "enterprise"
site = "main"
central-management = true
balancing = "hardware"
virtual-addresses = ["10.80.0.10"]
[[pool.server]]
fqdn = "fe01.example.test"
addresses = ["10.80.0.11"]
[[pool.server]]
fqdn = "fe02.example.test"
addresses = ["10.80.0.12"]
`

// TestBalancer lets HAProxy balance two servers with the generated file: SIP and web go on while one of them is stopped,
// and it is used again when it is back. The servers are stand-alone ones, which is enough to see who answers.
func TestBalancer(t *testing.T) {
	need(t, "haproxy", "openssl")
	program, err := server.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Parse("balanced.toml", []byte(balanced))
	if err != nil {
		t.Fatal(err)
	}
	files, err := haproxy.Balancer(plan.Resolve(s))
	if err != nil {
		t.Fatal(err)
	}
	n, err := New("lan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, address := range map[string]string{"lb": "10.80.0.10", "fe01": "10.80.0.11", "fe02": "10.80.0.12", "client": "10.80.0.50"} {
		if err := n.Machine(name, []Port{{"lan", address + "/24"}}); err != nil {
			t.Fatal(err)
		}
	}
	pr := programs{n, t.TempDir()}
	serve := func(name string) *exec.Cmd {
		return pr.serve(t, name, program)
	}
	servers := map[string]*exec.Cmd{}
	for name, address := range map[string]string{"fe01": "10.80.0.11", "fe02": "10.80.0.12"} {
		if out, err := n.Command(name, program, "init", "--data", filepath.Join(pr.dir, name), "--domain", "example.test", "--address", address, "--node", name+".example.test").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		servers[name] = serve(name)
	}
	t.Cleanup(func() {
		for _, cmd := range servers {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		}
	})
	config := filepath.Join(pr.dir, "haproxy.cfg")
	if err := os.WriteFile(config, files[0].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	lb := pr.start(t, "lb", "haproxy.log", "haproxy", "-db", "-f", config)
	t.Cleanup(func() {
		lb.Process.Kill()
		lb.Wait()
	})

	// who answers on a port of the virtual address, by the name in its certificate.
	name := regexp.MustCompile(`CN ?= ?(fe\d\d)`)
	who := func(port string) string {
		cmd := n.Command("client", "openssl", "s_client", "-connect", "10.80.0.10:"+port)
		out, _ := cmd.CombinedOutput()
		if m := name.FindSubmatch(out); m != nil {
			return string(m[1])
		}
		return ""
	}
	seen := func(port string, times int) map[string]int {
		out := map[string]int{}
		for range times {
			out[who(port)]++
		}
		return out
	}
	const sip, web = "5061", "4443"
	for _, port := range []string{sip, web} {
		pr.eventually(t, "both answer on "+port, "haproxy.log", func() bool { got := seen(port, 4); return got["fe01"] > 0 && got["fe02"] > 0 })
	}
	// Both protocols are spoken end to end.
	ask := func() []probe.Result {
		t.Helper()
		var in bytes.Buffer
		va := netip.MustParseAddr("10.80.0.10")
		if err := json.NewEncoder(&in).Encode(job{Timeout: 5 * time.Second, Probes: []probe.Probe{
			{Host: "pool.example.test", Address: va, Transport: "tcp", Port: 5061, Method: probe.SIPS, Allowed: true},
			{Host: "pool.example.test", Address: va, Transport: "tcp", Port: 4443, Method: probe.HTTPS, Allowed: true},
		}}); err != nil {
			t.Fatal(err)
		}
		cmd := n.Command("client", os.Args[0])
		cmd.Env, cmd.Stdin = append(os.Environ(), childEnv+"=1"), &in
		out, err := cmd.Output()
		var results []probe.Result
		if err != nil || json.Unmarshal(out, &results) != nil {
			t.Fatalf("prober: %v %s", err, out)
		}
		return results
	}
	check := func(when string) {
		t.Helper()
		for _, r := range ask() {
			if r.Failed() {
				t.Errorf("%s: port %d: %s (%s)", when, r.Port, r.Reason(), r.Detail)
			}
		}
	}
	check("with both")

	servers["fe01"].Process.Signal(syscall.SIGTERM)
	servers["fe01"].Wait()
	for _, port := range []string{sip, web} {
		if got := seen(port, 6); got["fe02"] != 6 {
			t.Errorf("without fe01, on %s: %v", port, got)
		}
	}
	check("without fe01")
	servers["fe01"] = serve("fe01")
	for _, port := range []string{sip, web} {
		pr.eventually(t, "fe01 is used again on "+port, "haproxy.log", func() bool { return seen(port, 4)["fe01"] > 0 })
	}
}
