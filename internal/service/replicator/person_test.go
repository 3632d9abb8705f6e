package replicator

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"parley/internal/directory"
	"parley/internal/uc"
)

func local(domain []byte) bool { return string(domain) == "example.test" }

func testMapping(change func(*Settings)) *mapping {
	s := DefaultSettings()
	s.Domain, s.User, s.Keytab = "corp.example.test", "svc", "svc.keytab"
	if change != nil {
		change(s)
	}
	return &mapping{Settings: s, sipDomain: "example.test", local: local}
}

// entry makes an entry of attributes and their values, over those that everybody has.
func entry(change map[string][]string) *ldap.Entry {
	all := map[string][]string{
		"objectGUID": {"0123456789abcdef"}, "sAMAccountName": {"Alice"}, "userPrincipalName": {"alice@corp.example.test"},
		"userAccountControl": {"512"}, "displayName": {"Alice Example"}, "mail": {"Alice@Example.test"},
	}
	for name, values := range change {
		all[name] = values
		if values == nil {
			delete(all, name)
		}
	}
	return ldap.NewEntry("CN=Alice,CN=Users,DC=corp,DC=example,DC=test", all)
}

func TestPerson(t *testing.T) {
	p := testMapping(nil).read(entry(map[string][]string{
		"telephoneNumber": {"+1 555 0100"}, "title": {"Clerk\r\nand more"}, "thumbnailPhoto": {"\xff\xd8"}, "givenName": {"Alice"},
		"physicalDeliveryOfficeName": {"12"},
	}))
	want := person{Replica: directory.Replica{
		ID: "30313233343536373839616263646566", Logins: []string{"alice@corp.example.test"}, AOR: "alice@example.test", Name: "Alice Example",
		Phones: []string{"+1 555 0100"}, Enabled: true,
		Profile: directory.Profile{GivenName: "Alice", Title: "Clerk and more", Office: "12", Mail: "Alice@Example.test", WorkPhone: "+1 555 0100"},
	}, Photo: []byte("\xff\xd8")}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v\nwant %+v", p, want)
	}
}

func TestAddress(t *testing.T) {
	for name, c := range map[string]struct {
		from   []string // nil: the default
		change map[string][]string
		want   string
		also   []string
	}{
		"mail":              {nil, nil, "alice@example.test", nil},
		"prepared for Lync": {nil, map[string][]string{"msRTCSIP-PrimaryUserAddress": {"sip:a.example@example.test"}}, "a.example@example.test", nil},
		"proxy addresses": {nil, map[string][]string{"proxyAddresses": {"SMTP:al@example.test", "sip:other@example.test", "SIP:main@example.test", "sip:x@elsewhere.test"}},
			"main@example.test", []string{"other@example.test"}},
		"mail elsewhere":      {[]string{addressMail, addressUPN}, map[string][]string{"mail": {"alice@elsewhere.test"}, "userPrincipalName": {"al@example.test"}}, "al@example.test", nil},
		"no mail":             {nil, map[string][]string{"mail": nil}, "", nil},
		"account name":        {[]string{addressSAM}, nil, "alice@example.test", nil},
		"first and last":      {[]string{addressName}, map[string][]string{"givenName": {"Mary Ann"}, "sn": {"Example"}}, "maryann.example@example.test", nil},
		"without last":        {[]string{addressName}, map[string][]string{"givenName": {"Mary Ann"}}, "", nil},
		"nothing of the kind": {nil, map[string][]string{"mail": {"no address"}, "proxyAddresses": {":", "sip:"}}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := testMapping(func(s *Settings) {
				if c.from != nil {
					s.Address = c.from
				}
			}).read(entry(c.change))
			if p.AOR != c.want || !slices.Equal(p.Aliases, c.also) || (p.Problem == "") != (c.want != "") {
				t.Errorf("%q %q %q", p.AOR, p.Aliases, p.Problem)
			}
		})
	}
}

func TestWhoMaySignIn(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string][]string
		want   bool
	}{
		"a normal account":  {nil, true},
		"disabled":          {map[string][]string{"userAccountControl": {"514"}}, false},
		"smart card wanted": {map[string][]string{"userAccountControl": {"262656"}}, true},
		"no control":        {map[string][]string{"userAccountControl": nil}, false},
		"not a number":      {map[string][]string{"userAccountControl": {"x"}}, false},
		"not for Lync":      {map[string][]string{"msRTCSIP-UserEnabled": {"FALSE"}}, false},
		"for Lync":          {map[string][]string{"msRTCSIP-UserEnabled": {"TRUE"}}, true},
	} {
		if got := testMapping(nil).read(entry(c.change)).Enabled; got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestWithoutIdentity(t *testing.T) {
	if p := testMapping(nil).read(entry(map[string][]string{"objectGUID": {"short"}})); p.ID != "" || p.Problem == "" {
		t.Errorf("%+v", p)
	}
}

// What a controller says is never more than the directory takes, whatever it says.
func FuzzPerson(f *testing.F) {
	f.Add("0123456789abcdef", "alice", "alice@corp.example.test", "512", "SIP:alice@example.test", "Alice", "+1 555 0100")
	f.Add("", "", "@", "-1", "sip:@", "\x00\xff", strings.Repeat("9", 2000))
	f.Fuzz(func(t *testing.T, guid, sam, upn, control, address, name, phone string) {
		p := testMapping(func(s *Settings) { s.Address = addresses }).read(entry(map[string][]string{
			"objectGUID": {guid}, "sAMAccountName": {sam}, "userPrincipalName": {upn}, "userAccountControl": {control},
			"proxyAddresses": {address, address + "x"}, "mail": {address}, "displayName": {name}, "title": {name}, "telephoneNumber": {phone},
			"givenName": {name}, "sn": {sam},
		}))
		if p.Problem != "" {
			return
		}
		if aor, err := uc.ParseAOR(p.AOR); err != nil || string(aor) != p.AOR || aor.Domain() != "example.test" {
			t.Errorf("address %q", p.AOR)
		}
		if len(p.ID) != 32 || len(p.Name) > 256 || len(p.Profile.Title) > 256 || len(p.Logins) > 2 || len(p.Phones) > 1 {
			t.Errorf("%+v", p)
		}
		for _, l := range p.Logins {
			if strings.ToLower(l) != l || len(l) > 512 || !strings.Contains(l, "@") {
				t.Errorf("login %q", l)
			}
		}
	})
}
