// Package samba runs a domain controller of Active Directory (Debian's samba-ad-dc) for tests, on a loopback address of
// its own and without touching the machine's configuration: LDAP with TLS and Kerberos, nothing else. It needs root,
// for the ports.
package samba

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"parley/test/ca"
)

// Tools are the programs it needs; the first is in /usr/sbin.
var Tools = []string{"/usr/sbin/samba", "samba-tool"}

const adminPassword = "Administrator-1"

// Available reports what is missing, beside Tools, to run a controller.
func Available() error {
	if os.Getuid() != 0 {
		return errors.New("a domain controller listens on ports below 1024: the test is to be run as root")
	}
	if _, err := os.Stat("/usr/share/samba/setup/ad-schema"); err != nil {
		return errors.New("samba-ad-provision is not installed")
	}
	return nil
}

// Controller is a domain controller that runs.
type Controller struct {
	Realm  string // "EXAMPLE.TEST"
	Domain string // "example.test"
	Addr   netip.Addr
	CAFile string // whom clients of LDAP trust
	Config string // path of a krb5.conf for clients: their KRB5_CONFIG

	dir, conf string
	cmd       *exec.Cmd
	done      chan struct{}
}

// Start makes a domain in dir, which is empty, and serves it at a loopback address until Stop.
func Start(ctx context.Context, dir, domain string, addr netip.Addr) (*Controller, error) {
	c := &Controller{Realm: strings.ToUpper(domain), Domain: domain, Addr: addr, dir: dir, conf: filepath.Join(dir, "etc", "smb.conf"),
		CAFile: filepath.Join(dir, "ca.pem"), Config: filepath.Join(dir, "krb5.conf")}
	// Everything that Samba keeps outside of its directory by default.
	options := []string{"interfaces=" + addr.String() + "/8", "bind interfaces only=yes", "server services=ldap, kdc", "logging=file",
		"pid directory=" + dir + "/run", "ncalrpc dir=" + dir + "/ncalrpc", "winbindd socket directory=" + dir + "/winbindd",
		"ntp signd socket directory=" + dir + "/ntp", "log file=" + dir + "/log", "usershare path=",
		"tls certfile=" + dir + "/dc.pem", "tls keyfile=" + dir + "/dc.key", "tls cafile=" + c.CAFile,
		"ldap server require strong auth=allow_sasl_over_tls"}
	if err := c.certificates(); err != nil {
		return nil, err
	}
	workgroup, _, _ := strings.Cut(c.Realm, ".")
	args := []string{"domain", "provision", "--targetdir=" + dir, "--realm=" + c.Realm, "--domain=" + workgroup, "--server-role=dc",
		"--dns-backend=NONE", "--host-name=dc1", "--host-ip=" + addr.String(), "--adminpass=" + adminPassword}
	for _, o := range options {
		args = append(args, "--option="+o)
	}
	if out, err := exec.CommandContext(ctx, Tools[1], args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("provision: %w\n%s", err, out)
	}
	krb := fmt.Sprintf("[libdefaults]\ndefault_realm = %[1]s\ndns_lookup_realm = false\ndns_lookup_kdc = false\nrdns = false\n"+
		"dns_canonicalize_hostname = false\nudp_preference_limit = 1\n[realms]\n%[1]s = {\n kdc = %[2]s\n}\n[domain_realm]\n.%[3]s = %[1]s\n%[3]s = %[1]s\n",
		c.Realm, addr, domain)
	if err := os.WriteFile(c.Config, []byte(krb), 0o600); err != nil {
		return nil, err
	}
	if err := c.Serve(ctx); err != nil {
		return nil, err
	}
	// Samba registers it from a service that is not run here.
	err := c.modify("CN=DC1,OU=Domain Controllers,"+c.root(), func(r *ldap.ModifyRequest) {
		r.Add("servicePrincipalName", []string{"ldap/dc1." + domain})
	})
	if err != nil {
		c.Stop()
		return nil, fmt.Errorf("name of the LDAP service: %w", err)
	}
	return c, nil
}

func (c *Controller) certificates() error {
	authority, err := ca.New("CA of the domain")
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue("dc1."+c.Domain, c.Addr.String())
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"ca.pem": authority.PEM, "dc.pem": cert, "dc.key": key} {
		if err := os.WriteFile(filepath.Join(c.dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(c.dir, "run"), 0o755)
}

// Serve starts the controller, also again after Stop, and returns when it takes connections.
func (c *Controller) Serve(ctx context.Context) error {
	c.cmd = exec.Command(Tools[0], "-s", c.conf, "-F", "--no-process-group", "-M", "single")
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.done = make(chan struct{})
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	for _, port := range []string{"636", "389", "88"} {
		for {
			conn, err := net.Dial("tcp", net.JoinHostPort(c.Addr.String(), port))
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-c.done:
				return fmt.Errorf("samba ended: %s\n%s", c.cmd.ProcessState, c.Log())
			case <-ctx.Done():
				c.Stop()
				return fmt.Errorf("samba does not listen on port %s: %w\n%s", port, err, c.Log())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// Log is what the controller wrote. It is for the time after Stop.
func (c *Controller) Log() string {
	text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(text)
}

// Stop ends the controller, as a power cut would.
func (c *Controller) Stop() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
}

// admin binds as the administrator of the domain.
func (c *Controller) admin() (*ldap.Conn, error) {
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := ldap.DialURL("ldaps://"+net.JoinHostPort(c.Addr.String(), "636"), ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, ServerName: "dc1." + c.Domain}))
	if err != nil {
		return nil, err
	}
	if err := conn.Bind("Administrator@"+c.Domain, adminPassword); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// DN is the distinguished name of an account that Add made.
func (c *Controller) DN(name string) string {
	return "CN=" + name + ",CN=Users," + c.root()
}

func (c *Controller) root() string { return "DC=" + strings.ReplaceAll(c.Domain, ".", ",DC=") }

// Add makes an account with a password and further attributes.
func (c *Controller) Add(name, password string, attributes map[string]string) error {
	conn, err := c.admin()
	if err != nil {
		return err
	}
	defer conn.Close()
	r := ldap.NewAddRequest(c.DN(name), nil)
	r.Attribute("objectClass", []string{"user"})
	r.Attribute("sAMAccountName", []string{name})
	r.Attribute("userPrincipalName", []string{name + "@" + c.Domain})
	r.Attribute("userAccountControl", []string{enabled})
	var quoted []byte // [MS-ADTS] 3.1.1.3.1.5.1
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		quoted = binary.LittleEndian.AppendUint16(quoted, u)
	}
	r.Attribute("unicodePwd", []string{string(quoted)})
	for k, v := range attributes {
		r.Attribute(k, []string{v})
	}
	return conn.Add(r)
}

// Set replaces attributes of an account.
func (c *Controller) Set(name string, attributes map[string]string) error {
	return c.modify(c.DN(name), func(r *ldap.ModifyRequest) {
		for k, v := range attributes {
			r.Replace(k, []string{v})
		}
	})
}

func (c *Controller) modify(dn string, fill func(*ldap.ModifyRequest)) error {
	conn, err := c.admin()
	if err != nil {
		return err
	}
	defer conn.Close()
	r := ldap.NewModifyRequest(dn, nil)
	fill(r)
	return conn.Modify(r)
}

// Values of userAccountControl ([MS-ADTS] 2.2.16).
const (
	enabled  = "512"
	disabled = "514"
)

// Disable keeps an account from being used.
func (c *Controller) Disable(name string) error {
	return c.Set(name, map[string]string{"userAccountControl": disabled})
}

// Enable undoes Disable.
func (c *Controller) Enable(name string) error {
	return c.Set(name, map[string]string{"userAccountControl": enabled})
}

// Delete removes an account.
func (c *Controller) Delete(name string) error {
	conn, err := c.admin()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Del(ldap.NewDelRequest(c.DN(name), nil))
}

// Keytab returns the path of a keytab with the AES keys of an account, for a service (its servicePrincipalName), or for
// the account itself when that is empty.
func (c *Controller) Keytab(ctx context.Context, account, service string) (string, error) {
	path, principal := filepath.Join(c.dir, account+".keytab"), account
	// 24: AES. Without it tickets are sealed with RC4.
	change := map[string]string{"msDS-SupportedEncryptionTypes": "24"}
	if service != "" {
		change["servicePrincipalName"], principal = service, service
	}
	if err := c.Set(account, change); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, Tools[1], "domain", "exportkeytab", path, "--principal="+principal, "-s", c.conf).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("samba-tool domain exportkeytab: %w\n%s", err, out)
	}
	return path, nil
}
