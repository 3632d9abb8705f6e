package replicator

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"parley/internal/directory"
	"parley/internal/uc"
)

// source names the other directory to this one.
const source = "active-directory"

// attributes are what is read of a person; those that a schema lacks are not there.
var attributes = []string{
	"objectGUID", "sAMAccountName", "userPrincipalName", "userAccountControl", "proxyAddresses", "mail", "displayName", "cn",
	"givenName", "sn", "title", "department", "company", "physicalDeliveryOfficeName", "telephoneNumber", "mobile", "homePhone",
	"otherTelephone", "streetAddress", "l", "st", "postalCode", "c", "msRTCSIP-PrimaryUserAddress", "msRTCSIP-UserEnabled", "msRTCSIP-Line",
}

// Bits of userAccountControl ([MS-ADTS] 2.2.16).
const (
	accountDisable = 0x2
	normalAccount  = 0x200
)

// Limits on what an entry may bring; what the directory takes is less.
const (
	maxValue  = 1024 // bytes
	maxValues = 64   // of one attribute
)

// person is an entry of the other directory.
type person struct {
	directory.Replica
	Photo   []byte
	Problem string // why it cannot be a user; empty for the others
}

// who names the person for an administrator.
func (p *person) who() string {
	if p.AOR != "" {
		return p.AOR
	}
	if len(p.Logins) > 0 {
		return p.Logins[0]
	}
	return p.ID
}

// mapping is how entries become users.
type mapping struct {
	*Settings
	sipDomain string
	local     func(domain []byte) bool // is it a SIP domain of ours?
}

// read makes a person of an entry. One without an identity has no ID.
func (m *mapping) read(e *ldap.Entry) person {
	var p person
	if guid := e.GetRawAttributeValue("objectGUID"); len(guid) == 16 {
		p.ID = hex.EncodeToString(guid)
	}
	get := func(name string) string { return clean(e.GetAttributeValue(name)) }
	sam, upn := get("sAMAccountName"), get("userPrincipalName")
	for _, login := range []string{upn, sam + "@" + m.Domain} {
		login = strings.ToLower(login)
		if user, realm, ok := strings.Cut(login, "@"); ok && user != "" && realm != "" && !slices.Contains(p.Logins, login) && len(login) <= 512 {
			p.Logins = append(p.Logins, login)
		}
	}
	control, err := strconv.ParseInt(get("userAccountControl"), 10, 64)
	p.Enabled = err == nil && control&accountDisable == 0 && !strings.EqualFold(get("msRTCSIP-UserEnabled"), "FALSE")
	if p.Name = get("displayName"); p.Name == "" {
		p.Name = get("cn")
	}
	p.Profile = directory.Profile{
		GivenName: get("givenName"), Surname: get("sn"), Title: get("title"), Department: get("department"), Company: get("company"),
		Office: get("physicalDeliveryOfficeName"), Mail: get("mail"), WorkPhone: get("telephoneNumber"), HomePhone: get("homePhone"),
		Mobile: get("mobile"), OtherPhone: get("otherTelephone"), Street: get("streetAddress"), City: get("l"), State: get("st"),
		PostalCode: get("postalCode"), Country: get("c"),
	}
	if !strings.Contains(p.Profile.Mail, "@") {
		p.Profile.Mail = ""
	}
	for _, name := range m.Phones {
		if number := get(name); number != "" {
			p.Phones = []string{number}
			break
		}
	}
	for _, from := range m.Address {
		for _, text := range m.address(e, from) {
			aor, err := uc.ParseAOR(text)
			if err != nil || !m.local([]byte(aor.Domain())) {
				continue
			}
			if p.AOR == "" {
				p.AOR = string(aor)
			} else if p.AOR != string(aor) && from == addressProxy && !slices.Contains(p.Aliases, string(aor)) {
				p.Aliases = append(p.Aliases, string(aor))
			}
		}
	}
	if m.Photos {
		p.Photo = e.GetRawAttributeValue("thumbnailPhoto")
	}
	switch {
	case p.ID == "":
		p.Problem = "has no objectGUID"
	case p.AOR == "":
		p.Problem = fmt.Sprintf("has no address in a SIP domain of this server (looked at %s)", strings.Join(m.Address, ", "))
	}
	return p
}

// address lists the addresses that one source of them gives.
func (m *mapping) address(e *ldap.Entry, from string) []string {
	value := clean(e.GetAttributeValue(from))
	switch from {
	case addressRTC:
		return []string{value}
	case addressProxy:
		var all []string
		values := e.GetAttributeValues(addressProxy)
		for _, v := range values[:min(len(values), maxValues)] {
			if scheme, rest, ok := strings.Cut(clean(v), ":"); ok && strings.EqualFold(scheme, "sip") {
				if scheme == "SIP" { // the primary one, as with SMTP
					all = slices.Insert(all, 0, rest)
				} else {
					all = append(all, rest)
				}
			}
		}
		return all
	case addressSAM:
		return []string{value + "@" + m.sipDomain}
	case addressName:
		first, last := clean(e.GetAttributeValue("givenName")), clean(e.GetAttributeValue("sn"))
		if first == "" || last == "" {
			return nil
		}
		return []string{strings.ReplaceAll(first+"."+last, " ", "") + "@" + m.sipDomain}
	}
	return []string{value}
}

// clean leaves out what cannot be shown, and cuts what is longer than any value should be.
func clean(s string) string {
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' ' // streets have several lines
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "")
	}
	return s
}
