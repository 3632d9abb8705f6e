package replicator

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"parley/internal/config"
)

// Settings is the service's section of the node file. Every Front End of a pool has the same.
type Settings struct {
	Domain      string          `toml:"domain" doc:"DNS name of the Active Directory domain. Empty: no users come from there." reload:"live" example:"corp.example.test"`
	Servers     []string        `toml:"servers" doc:"Domain controllers, as NAME or NAME:PORT, in the order in which they are tried. Empty: those that DNS names (SRV _ldap._tcp.DOMAIN)." reload:"live" example:"[\"dc1.corp.example.test\"]"`
	Encryption  string          `toml:"encryption" doc:"ldaps (port 636) or starttls (port 389). There is none without." reload:"live"`
	CA          string          `toml:"ca" doc:"PEM file of who issued the controllers' certificates. Empty: whom the machine trusts." reload:"live" example:"corp-ca.pem"`
	User        string          `toml:"user" doc:"Account to read with, as NAME@DOMAIN or a distinguished name. It needs no rights beyond those of every account." reload:"live" example:"svc-parley@corp.example.test"`
	Password    config.Secret   `toml:"password" doc:"Its password. Never logged." reload:"live"`
	Keytab      string          `toml:"keytab" doc:"Keytab file of the account, in place of a password." reload:"live" example:"svc-parley.keytab"`
	Base        string          `toml:"base" doc:"Where people are, as a distinguished name. Empty: the whole domain." reload:"live" example:"OU=Staff,DC=corp,DC=example,DC=test"`
	Filter      string          `toml:"filter" doc:"Which of them are users here (RFC 4515)." reload:"live"`
	Address     []string        `toml:"address" doc:"Where the SIP address comes from; the first that gives one in a SIP domain of this server counts: msRTCSIP-PrimaryUserAddress, proxyAddresses (its sip: value), mail, userPrincipalName, sAMAccountName (with sip-domain), first.last (with sip-domain)." reload:"live"`
	SIPDomain   string          `toml:"sip-domain" doc:"For addresses made from a name. Empty: the first SIP domain of the topology." reload:"live"`
	Phones      []string        `toml:"phones" doc:"Attributes whose international numbers lead to the user: the first that is there counts. Others are only shown." reload:"live"`
	Photos      bool            `toml:"photos" doc:"Take thumbnailPhoto." reload:"live"`
	Interval    config.Duration `toml:"interval" doc:"How often changes are asked for, 1s to 24h." reload:"live"`
	Full        config.Duration `toml:"full" doc:"How often everybody is read anew, which finds what changes do not tell, such as a person who was moved out of base." reload:"live"`
	MaxRemovals int             `toml:"max-removals" doc:"How many users, in percent, may vanish from the directory between two looks. When it is more, nobody is disabled for it until an administrator agrees. Up to three at a time always may." reload:"live"`
}

// DefaultSettings is what a node file that says nothing gets.
func DefaultSettings() *Settings {
	return &Settings{
		Encryption: "ldaps",
		Filter:     "(&(objectCategory=person)(objectClass=user))",
		Address:    []string{addressRTC, addressProxy, addressMail}, // accounts of services have none of these
		Phones:     []string{"msRTCSIP-Line", "telephoneNumber"},
		Photos:     true,
		Interval:   config.Duration(time.Minute), Full: config.Duration(time.Hour),
		MaxRemovals: 10,
	}
}

// Where an address may come from.
const (
	addressRTC   = "msRTCSIP-PrimaryUserAddress"
	addressProxy = "proxyAddresses"
	addressMail  = "mail"
	addressUPN   = "userPrincipalName"
	addressSAM   = "sAMAccountName"
	addressName  = "first.last"
)

var addresses = []string{addressRTC, addressProxy, addressMail, addressUPN, addressSAM, addressName}

// on reports whether there is anything to do.
func (s *Settings) on() bool { return s.Domain != "" }

// Validate implements config.Validator.
func (s *Settings) Validate() error {
	bad := func(key, fix, format string, args ...any) error {
		return &config.FieldError{Key: key, Text: fmt.Sprintf(format, args...), Fix: fix}
	}
	if !s.on() {
		return nil
	}
	if !strings.Contains(strings.Trim(s.Domain, "."), ".") || strings.ContainsAny(s.Domain, " /:@,=") {
		return bad("domain", `for example "corp.example.test"`, "%q is not the DNS name of a domain", s.Domain)
	}
	for _, server := range s.Servers {
		if host, _ := s.hostPort(server); host == "" {
			return bad("servers", `for example ["dc1.corp.example.test"]`, "%q is not NAME or NAME:PORT", server)
		}
	}
	switch s.Encryption {
	case "ldaps", "starttls":
	default:
		return bad("encryption", `"ldaps" or "starttls"`, "%q is no way to encrypt", s.Encryption)
	}
	switch {
	case s.User == "":
		return bad("user", `for example "svc-parley@`+s.Domain+`"`, "no account to read the directory with")
	case (s.Password.Reveal() == "") == (s.Keytab == ""):
		return bad("password", "password or keytab", "the account %s needs a password or a keytab, and one of them only", s.User)
	}
	if _, err := ldap.ParseDN(s.Base); err != nil {
		return bad("base", `for example "OU=Staff,DC=corp,DC=example,DC=test"`, "%q is not a distinguished name: %v", s.Base, err)
	}
	if _, err := ldap.CompileFilter(s.Filter); err != nil {
		return bad("filter", DefaultSettings().Filter, "%q is not a filter: %v", s.Filter, err)
	}
	if len(s.Address) == 0 {
		return bad("address", `["mail"]`, "nobody would have an address")
	}
	for _, from := range s.Address {
		if !contains(addresses, from) {
			return bad("address", "known are "+strings.Join(addresses, ", "), "%q gives no address", from)
		}
	}
	if s.Interval < config.Duration(time.Second) || s.Interval > config.Duration(24*time.Hour) {
		return bad("interval", "from 1s to 24h", "%s is out of range", s.Interval)
	}
	if s.Full < s.Interval || s.Full > config.Duration(7*24*time.Hour) {
		return bad("full", "from interval to 168h", "%s is out of range", s.Full)
	}
	if s.MaxRemovals < 0 || s.MaxRemovals > 100 {
		return bad("max-removals", "from 0 to 100", "%d is out of range", s.MaxRemovals)
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if strings.EqualFold(one, s) {
			return true
		}
	}
	return false
}

// hostPort splits a server, and gives it the port of the encryption. host is empty when it is none.
func (s *Settings) hostPort(server string) (host, port string) {
	port = "636"
	if s.Encryption == "starttls" {
		port = "389"
	}
	if h, p, err := net.SplitHostPort(server); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", ""
		}
		host, port = h, p
	} else {
		host = server
	}
	host = strings.Trim(host, "[]")
	if host == "" || strings.ContainsAny(host, " /@") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", ""
	}
	return host, port
}

// file puts a relative name into the data directory.
func file(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
