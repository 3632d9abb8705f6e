package sipp

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Stunnel is a stunnel that takes TCP connections at Addr and carries each over TLS to the server, whose
// certificate it checks.
type Stunnel struct {
	Addr netip.AddrPort
	cmd  *exec.Cmd
}

// StartStunnel starts stunnel and returns when it takes connections.
func StartStunnel(ctx context.Context, dir string, server netip.AddrPort, caFile, name string) (*Stunnel, error) {
	addr, err := FreePort()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`foreground = yes
pid =
debug = 4
[sip]
client = yes
accept = %s
connect = %s
CAfile = %s
verifyChain = yes
checkHost = %s
sni = %s
TIMEOUTidle = 7200
`, addr, server, caFile, name, name)
	file := filepath.Join(dir, "stunnel.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "stunnel.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &Stunnel{Addr: addr, cmd: exec.Command("stunnel4", file)}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := dialPatiently(ctx, addr)
	if err != nil {
		s.Stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("stunnel: %w\n%s", err, text)
	}
	c.Close()
	return s, nil
}

// Stop ends stunnel.
func (s *Stunnel) Stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
