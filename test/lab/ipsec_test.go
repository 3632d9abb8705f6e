package lab

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/plan"
	"parley/internal/plan/render/strongswan"
	"parley/internal/topology"
)

// TestExceptionsBypassEncryption loads the exceptions of a server into strongSwan beside a policy that encrypts all its
// other traffic: media passes in the clear, and what is no exception does not, since nobody answers the negotiation.
func TestExceptionsBypassEncryption(t *testing.T) {
	const daemon = "/usr/sbin/charon-systemd"
	need(t, "swanctl", "ping", daemon)
	n, err := New("lan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, address := range map[string]string{"fe": "10.80.0.11", "peer": "10.80.0.50"} {
		if err := n.Machine(name, []Port{{"lan", address + "/24"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.In("fe", "ping -c1 -W3 10.80.0.50"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("lab.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Parse("lab.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	files, err := strongswan.IPsec(plan.Resolve(s))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	conf := `connections {
    everything {
        local_addrs = 10.80.0.11
        remote_addrs = 10.80.0.50
        local { auth = psk }
        remote { auth = psk }
        children { all { local_ts = 10.80.0.11/32
                         remote_ts = 10.80.0.50/32
                         start_action = trap } }
    }
}
secrets { ike { secret = lab } }
`
	for _, f := range files {
		if f.Name == "ipsec-fe.example.test.conf" {
			conf += string(f.Data)
		}
	}
	if !strings.Contains(conf, "ipsec-avconf-in-udp") || !strings.Contains(conf, "ipsec-mediation-out-tcp") {
		t.Fatalf("no exceptions for the server: %s", conf)
	}
	swanctl := write("swanctl.conf", conf)
	settings := write("strongswan.conf", `charon-systemd {
    load = random nonce aes sha1 sha2 hmac gmp kernel-netlink socket-default vici
    plugins { vici { socket = unix://`+dir+`/vici } }
}
`)
	var log bytes.Buffer
	cmd := n.Command("fe", daemon)
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+settings)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It would wait for the answer of the peer to its goodbye.
		cmd.Process.Kill()
		cmd.Wait()
	})
	// The test may be in a hurry: the socket says when the daemon is ready.
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(dir + "/vici"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("strongSwan does not start:\n%s", log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmdLoad := n.Command("fe", "swanctl", "--load-all", "--file", swanctl, "--uri", "unix://"+dir+"/vici")
	cmdLoad.Env = cmd.Env
	if out, err := cmdLoad.CombinedOutput(); err != nil || !strings.Contains(string(out), "successfully loaded 2 connections") {
		t.Fatalf("swanctl: %v\n%s\n%s", err, out, log.String())
	}
	// What is no exception waits for keys that never come.
	if err := n.In("fe", "ping -c1 -W2 10.80.0.50"); err == nil {
		t.Error("ICMP passes, so nothing is encrypted and the test shows nothing")
	}
	// Media passes: the peer counts what arrives in the clear.
	if err := n.Load("peer", []byte("table inet t {\n chain c {\n type filter hook input priority 0;\n udp dport 50020 counter\n tcp dport 50021 counter\n }\n}\n")); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"udp", "tcp"} {
		v := netip.MustParseAddrPort(map[string]string{"udp": "10.80.0.50:50020", "tcp": "10.80.0.50:50021"}[transport])
		n.In("fe", "timeout 2 bash -c 'echo x >/dev/"+transport+"/"+v.Addr().String()+"/"+strings.TrimPrefix(v.String(), v.Addr().String()+":")+"' || true")
	}
	out, err := n.Command("peer", "nft", "list", "chain", "inet", "t", "c").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "counter packets 0 ") {
			t.Errorf("does not arrive in the clear: %s", line)
		}
	}
}
