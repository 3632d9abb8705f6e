package replicator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldap/v3/gssapi"
	"github.com/jcmturner/gokrb5/v8/client"
	krbconfig "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// One message of a controller holds one entry at most. The library has this limit for the whole process, which speaks
// LDAP nowhere else.
func init() { ber.MaxPacketLengthBytes = 8 << 20 }

const (
	patience  = 30 * time.Second // for one answer
	pageSize  = 200              // entries, with photos
	maxPeople = 500_000
)

// position is how far a controller is. Numbers of one controller mean nothing to another.
type position struct {
	Server string // as it was reached
	ID     string // changes with the controller, and when that is restored from a copy (invocationId)
	USN    int64  // of its newest change
}

// controller is a domain controller on which the service's account is bound.
type controller struct {
	conn   *ldap.Conn
	server string
	root   string // of the domain
	base   string
	at     position
	set    *Settings
	stop   func() bool
}

// dial finds a controller, and binds there.
func dial(ctx context.Context, set *Settings, dir string) (*controller, error) {
	servers, err := find(ctx, set)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if set.CA != "" {
		pem, err := os.ReadFile(file(dir, set.CA))
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", set.CA)
		}
	}
	var errs []error
	for _, server := range servers {
		c, err := dialOne(ctx, set, dir, server, conf)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			break // the others say the same, until the account is locked
		}
	}
	return nil, errors.Join(errs...)
}

// find lists the controllers in the order in which they are tried.
func find(ctx context.Context, set *Settings) ([]string, error) {
	if len(set.Servers) > 0 {
		return set.Servers, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, all, err := net.DefaultResolver.LookupSRV(ctx, "ldap", "tcp", set.Domain)
	if err != nil {
		return nil, fmt.Errorf("no controllers of %s in DNS: %w", set.Domain, err)
	}
	var servers []string
	for _, srv := range all {
		servers = append(servers, strings.TrimSuffix(srv.Target, ".")) // the port of the record is for LDAP in clear
	}
	return servers, nil
}

func dialOne(ctx context.Context, set *Settings, dir, server string, conf *tls.Config) (*controller, error) {
	host, port := set.hostPort(server)
	dialer := &net.Dialer{Timeout: patience}
	raw, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	conf = conf.Clone()
	conf.ServerName = host
	if set.Encryption == "ldaps" {
		secure := tls.Client(raw, conf)
		shake, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := secure.HandshakeContext(shake); err != nil {
			raw.Close()
			return nil, err
		}
		raw = secure
	}
	c := &controller{conn: ldap.NewConn(raw, set.Encryption == "ldaps"), server: server, set: set}
	c.conn.SetTimeout(patience)
	c.conn.Start()
	c.stop = context.AfterFunc(ctx, func() { c.conn.Close() })
	// The library bounds its requests, but not the handshake of StartTLS.
	late := time.AfterFunc(2*patience, func() { c.conn.Close() })
	defer late.Stop()
	if err := c.begin(conf, dir); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *controller) close() {
	c.stop()
	c.conn.Close()
}

// begin encrypts, binds, and finds out where the controller is.
func (c *controller) begin(conf *tls.Config, dir string) error {
	if c.set.Encryption == "starttls" {
		if err := c.conn.StartTLS(conf); err != nil {
			return err
		}
	}
	root, err := c.one("", "defaultNamingContext", "dnsHostName")
	if err != nil {
		return err
	}
	c.root = root.GetAttributeValue("defaultNamingContext")
	if c.base = c.set.Base; c.base == "" {
		c.base = c.root
	}
	if c.root == "" {
		return errors.New("is no controller of a domain: it names no naming context")
	}
	if c.set.Keytab != "" {
		err = c.bindKerberos(root.GetAttributeValue("dnsHostName"), file(dir, c.set.Keytab))
	} else {
		err = c.conn.Bind(c.set.User, c.set.Password.Reveal())
	}
	if err != nil {
		return fmt.Errorf("bind as %s: %w", c.set.User, err)
	}
	return c.locate()
}

// locate reads how far the controller is, which must come before what is read.
func (c *controller) locate() error {
	root, err := c.one("", "highestCommittedUSN", "dsServiceName")
	if err != nil {
		return err
	}
	usn, err := strconv.ParseInt(root.GetAttributeValue("highestCommittedUSN"), 10, 64)
	if err != nil {
		return errors.New("does not number its changes (highestCommittedUSN)")
	}
	c.at = position{Server: c.server, ID: root.GetAttributeValue("dsServiceName"), USN: usn}
	if c.at.ID == "" {
		return errors.New("does not say who it is (dsServiceName)")
	}
	if e, err := c.one(c.at.ID, "invocationId"); err == nil {
		c.at.ID += " " + hex.EncodeToString(e.GetRawAttributeValue("invocationId"))
	}
	return nil
}

func (c *controller) one(dn string, attributes ...string) (*ldap.Entry, error) {
	r, err := c.conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", attributes, nil))
	if err != nil {
		return nil, err
	}
	if len(r.Entries) != 1 {
		return nil, fmt.Errorf("no entry %q", dn)
	}
	return r.Entries[0], nil
}

// bindKerberos binds with a keytab. Tickets come from the same controllers.
func (c *controller) bindKerberos(name, path string) error {
	kt, err := keytab.Load(path)
	if err != nil {
		return err
	}
	realm := strings.ToUpper(c.set.Domain)
	user, _, _ := strings.Cut(c.set.User, "@")
	text := "[libdefaults]\n default_realm = " + realm + "\n dns_lookup_realm = false\n dns_lookup_kdc = true\n udp_preference_limit = 1\n"
	if len(c.set.Servers) > 0 {
		text += "[realms]\n " + realm + " = {\n"
		for _, server := range c.set.Servers {
			host, _ := c.set.hostPort(server)
			text += "  kdc = " + net.JoinHostPort(host, "88") + "\n"
		}
		text += " }\n"
	}
	conf, err := krbconfig.NewFromString(text)
	if err != nil {
		return err
	}
	krb := &gssapi.Client{Client: client.NewWithKeytab(user, realm, kt, conf, client.DisablePAFXFAST(true))}
	defer krb.Close()
	return c.conn.GSSAPIBind(krb, "ldap/"+name, "")
}

// pages calls fn with what a search finds, page after page. Attributes are read under base and below.
func (c *controller) pages(base, filter string, attributes []string, more []ldap.Control, fn func(*ldap.Entry)) error {
	paging := ldap.NewControlPaging(pageSize)
	for seen := 0; ; {
		r, err := c.conn.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, int(patience/time.Second), false,
			filter, attributes, append([]ldap.Control{paging}, more...)))
		if err != nil {
			return err
		}
		for _, e := range r.Entries {
			fn(e)
		}
		if seen += len(r.Entries); seen > maxPeople {
			return fmt.Errorf("more than %d entries", maxPeople)
		}
		next, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok {
			return errors.New("does not answer in pages")
		}
		if len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

func (c *controller) position() position { return c.at }

// people calls fn with everybody whom the settings select, or, when since is not 0, with those who changed from that
// number on.
func (c *controller) people(since int64, m *mapping, fn func(person)) error {
	wanted := attributes
	if m.Photos {
		wanted = append(append([]string{}, wanted...), "thumbnailPhoto")
	}
	wanted = append(wanted, m.Phones...)
	filter := c.set.Filter
	if since != 0 {
		filter = fmt.Sprintf("(&(uSNChanged>=%d)%s)", since, filter)
	}
	return c.pages(c.base, filter, wanted, nil, func(e *ldap.Entry) { fn(m.read(e)) })
}

// deletedObjects is where a domain keeps what was deleted ([MS-ADTS] 6.1.1.4).
const deletedObjects = "18E2EA80684F11D2B9AA00C04F79F805"

// touched calls fn with the ID of every user that changed from a number on, selected or not, and of those deleted as far
// as the account may see them.
func (c *controller) touched(since int64, fn func(id string)) error {
	tell := func(e *ldap.Entry) {
		if guid := e.GetRawAttributeValue("objectGUID"); len(guid) == 16 {
			fn(hex.EncodeToString(guid))
		}
	}
	id := []string{"objectGUID"}
	err := c.pages(c.base, fmt.Sprintf("(&(uSNChanged>=%d)(objectClass=user))", since), id, nil, tell)
	if err != nil {
		return err
	}
	err = c.pages("<WKGUID="+deletedObjects+","+c.root+">", fmt.Sprintf("(&(isDeleted=TRUE)(uSNChanged>=%d))", since), id,
		[]ldap.Control{ldap.NewControlMicrosoftShowDeleted()}, tell)
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultInvalidDNSyntax):
		return nil // the next time that everybody is read they will be missing
	}
	return err
}

// check asks the controller whether a password is that of the user with an ID. It ends what else c is good for.
func (c *controller) check(id, password string) (bool, error) {
	guid, err := hex.DecodeString(id)
	if err != nil || password == "" { // an empty one would bind nobody, with success (RFC 4513 section 5.1.2)
		return false, err
	}
	filter := "(objectGUID="
	for _, b := range guid {
		filter += fmt.Sprintf(`\%02x`, b)
	}
	r, err := c.conn.Search(ldap.NewSearchRequest(c.root, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, filter+")", []string{"objectGUID"}, nil))
	if err != nil {
		return false, err
	}
	if len(r.Entries) != 1 {
		return false, nil
	}
	err = c.conn.Bind(r.Entries[0].DN, password)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) { // disabled, expired and locked ones too
		return false, nil
	}
	return err == nil, err
}
