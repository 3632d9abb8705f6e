// Package kdc runs a Kerberos key distribution centre (Debian's krb5-kdc) for tests, on a port of its own and without
// touching the machine's configuration.
package kdc

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Tools are the programs it needs; the first two are in /usr/sbin.
var Tools = []string{"/usr/sbin/kdb5_util", "/usr/sbin/krb5kdc", "kadmin.local"}

// KDC is a key distribution centre that runs.
type KDC struct {
	Realm  string
	Config string // path of a krb5.conf for clients: their KRB5_CONFIG

	dir string
	env []string
	cmd *exec.Cmd
}

// Start makes a realm in dir and serves it until Stop. env is added to the environment of its programs.
func Start(ctx context.Context, dir, realm string, env ...string) (*KDC, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	k := &KDC{Realm: realm, Config: filepath.Join(dir, "krb5.conf"), dir: dir}
	profile := filepath.Join(dir, "kdc.conf")
	domain := strings.ToLower(realm)
	files := map[string]string{
		k.Config: fmt.Sprintf("[libdefaults]\ndefault_realm = %[1]s\ndns_lookup_realm = false\ndns_lookup_kdc = false\nrdns = false\ndns_canonicalize_hostname = false\nudp_preference_limit = 1\n"+
			"[realms]\n%[1]s = {\n kdc = 127.0.0.1:%[2]d\n}\n[domain_realm]\n.%[3]s = %[1]s\n%[3]s = %[1]s\n", realm, port, domain),
		profile: fmt.Sprintf("[kdcdefaults]\nkdc_listen = \"\"\nkdc_tcp_listen = 127.0.0.1:%[2]d\n[realms]\n%[1]s = {\n database_name = %[3]s/principal\n key_stash_file = %[3]s/stash\n"+
			" supported_enctypes = aes256-cts:normal aes128-cts:normal\n}\n", realm, port, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	k.env = append(append(os.Environ(), "KRB5_CONFIG="+k.Config, "KRB5_KDC_PROFILE="+profile), env...)
	if err := k.run(ctx, Tools[0], "create", "-s", "-r", realm, "-P", "master-secret"); err != nil {
		return nil, err
	}
	k.cmd = exec.Command(Tools[1], "-n", "-r", realm)
	k.cmd.Env = k.env
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		return nil, err
	}
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return k, c.Close()
		}
		select {
		case <-ctx.Done():
			k.Stop()
			return nil, fmt.Errorf("the KDC does not listen: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (k *KDC) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// AddUser adds a principal with a password.
func (k *KDC) AddUser(ctx context.Context, name, password string) error {
	return k.run(ctx, Tools[2], "-r", k.Realm, "-q", "addprinc -pw "+password+" "+name)
}

// Keytab adds a service and returns the path of a keytab with its keys.
func (k *KDC) Keytab(ctx context.Context, service string) (string, error) {
	path := filepath.Join(k.dir, strings.ReplaceAll(service, "/", "_")+".keytab")
	if err := k.run(ctx, Tools[2], "-r", k.Realm, "-q", "addprinc -randkey "+service); err != nil {
		return "", err
	}
	return path, k.run(ctx, Tools[2], "-r", k.Realm, "-q", "ktadd -k "+path+" "+service)
}

// Stop ends the KDC.
func (k *KDC) Stop() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	_ = k.cmd.Wait()
}
