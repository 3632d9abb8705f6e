package main

import (
	"strings"
	"testing"
)

func TestProbeList(t *testing.T) {
	const topo = "../../examples/remote.toml"
	out := want(t, "probe", "--topology", topo, "--from", "203.0.113.9", "--list")
	for _, text := range []string{"allowed  192.0.2.2 udp 3478  stun", "allowed  192.0.2.3 tcp 443  https", "denied "} {
		if !strings.Contains(out, text) {
			t.Errorf("the list lacks %q:\n%s", text, out)
		}
	}
	if out := want(t, "probe", "--topology", topo, "--from", "10.0.0.11", "--peer", "outside=203.0.113.9", "--list"); !strings.Contains(out, "edge-int-auth-5062") {
		t.Errorf("a server may reach the Edge:\n%s", out)
	}
	refused(t, "no zone", "probe", "--topology", topo, "--zone", "moon", "--list")
	refused(t, "ZONE=ADDRESS", "probe", "--topology", topo, "--from", "10.0.0.11", "--peer", "outside", "--list")
	refused(t, "no format", "probe", "--topology", topo, "--from", "10.0.0.11", "--format", "html")
}

// TestProbeRuns asks a server that is not there, on loopback, and must say so by its exit status.
func TestProbeRuns(t *testing.T) {
	topo := strings.NewReplacer("192.168.10.0/24", "127.0.0.0/8", "192.168.10.5", "127.88.0.5", "192.168.10.6", "127.88.0.6", "192.168.10.1\"", "127.88.0.1\"").
		Replace(read(t, "../../examples/small.toml"))
	out, errOut, status := parley(t, topo, "probe", "--topology", "-", "--zone", "office", "--from", "127.0.0.1", "--timeout", "300ms", "--host", "server.example.test", "--format", "junit")
	if status != 1 || !strings.Contains(out, "<failure message=\"the way is open and nothing listens\"") {
		t.Errorf("exit status %d\n%s%s", status, out, errOut)
	}
}
