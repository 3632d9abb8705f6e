package lab

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/internal/probe"
	"parley/test/server"
)

// hostFilter is the firewall of a machine that lets nothing in.
const hostFilter = `table inet filter {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		iif lo accept
		icmp type echo-request accept
	}
}
`

// TestOpenFirewall lets a server open its ports in the firewall of its machine: with one, without, after it was killed.
func TestOpenFirewall(t *testing.T) {
	need(t)
	program, err := server.Binary(t.Context())
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
	for name, address := range map[string]string{"fe": "10.80.0.11", "client": "10.80.0.50"} {
		if err := n.Machine(name, []Port{{"lan", address + "/24"}}); err != nil {
			t.Fatal(err)
		}
	}
	pr := programs{n, t.TempDir()}
	data := filepath.Join(pr.dir, "data")
	if out, err := n.Command("fe", program, "init", "--data", data, "--domain", "example.test", "--address", "10.80.0.11", "--node", "fe.example.test").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	count := 0
	serve := func(environment ...string) (*exec.Cmd, string) {
		t.Helper()
		count++
		log := "serve" + string(rune('0'+count)) + ".log"
		cmd := pr.start(t, "fe", log, append(append([]string{"env"}, environment...), program, "serve", "--data", data, "--open-firewall", "inet filter input")...)
		t.Cleanup(func() { cmd.Process.Kill() })
		pr.eventually(t, "the server starts", log, func() bool { return strings.Contains(pr.text(log), "msg=ready") })
		return cmd, log
	}
	end := func(cmd *exec.Cmd, how syscall.Signal) {
		t.Helper()
		cmd.Process.Signal(how)
		if err := cmd.Wait(); err != nil && how != syscall.SIGKILL {
			t.Errorf("the server ends with %v", err)
		}
	}
	rules := func() string {
		t.Helper()
		out, err := n.Command("fe", "nft", "list", "chain", "inet", "filter", "input").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	// reached says what came back from ports of the server.
	reached := func() map[uint16]probe.Outcome {
		t.Helper()
		j := job{Timeout: 3 * time.Second}
		for _, port := range []uint16{5061, 443, 5432} {
			j.Probes = append(j.Probes, probe.Probe{Host: "fe.example.test", Address: netip.MustParseAddr("10.80.0.11"), Transport: "tcp", Port: port, Method: probe.Connect})
		}
		var in bytes.Buffer
		if err := json.NewEncoder(&in).Encode(j); err != nil {
			t.Fatal(err)
		}
		cmd := n.Command("client", os.Args[0])
		cmd.Env, cmd.Stdin = append(os.Environ(), childEnv+"=1"), &in
		out, err := cmd.Output()
		var results []probe.Result
		if err != nil || json.Unmarshal(out, &results) != nil {
			t.Fatalf("prober: %v %s", err, out)
		}
		got := map[uint16]probe.Outcome{}
		for _, r := range results {
			got[r.Port] = r.Outcome
		}
		return got
	}

	// No firewall runs, or the program that changes it is not there: the server says so and goes on.
	for _, c := range []struct{ path, says string }{{os.Getenv("PATH"), "there is no chain inet filter input"}, {"/nonexistent", "nft is not installed"}} {
		cmd, log := serve("PATH=" + c.path)
		if !strings.Contains(pr.text(log), "the host firewall stays as it is") || !strings.Contains(pr.text(log), c.says) {
			t.Errorf("the server does not say %q:\n%s", c.says, pr.text(log))
		}
		if got := reached(); got[5061] != probe.Open {
			t.Errorf("without a firewall: %v", got)
		}
		end(cmd, syscall.SIGTERM)
	}

	if err := n.Load("fe", []byte(hostFilter)); err != nil {
		t.Fatal(err)
	}
	closed := rules()
	cmd, _ := serve()
	opened := rules()
	if got := reached(); got[5061] != probe.Open || got[443] != probe.Open || got[5432] != probe.Silent {
		t.Errorf("with its ports open: %v\n%s", got, opened)
	}
	if strings.Contains(opened, "127.0.0.1") {
		t.Errorf("loopback is opened:\n%s", opened)
	}
	end(cmd, syscall.SIGTERM)
	if rules() != closed {
		t.Errorf("the firewall is not as it was:\n%s", rules())
	}

	// What a server that was killed left open is closed by the next one, which opens its own.
	cmd, _ = serve()
	end(cmd, syscall.SIGKILL)
	if rules() != opened {
		t.Errorf("after the kill:\n%s\nwant\n%s", rules(), opened)
	}
	cmd, _ = serve()
	if rules() != opened {
		t.Errorf("after the kill and a start:\n%s\nwant\n%s", rules(), opened)
	}
	end(cmd, syscall.SIGTERM)
	if rules() != closed {
		t.Errorf("after the kill, a start and a stop:\n%s", rules())
	}
	if got := reached(); got[5061] != probe.Silent {
		t.Errorf("with its ports closed: %v", got)
	}
}
