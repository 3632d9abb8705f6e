package directory

import (
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Profile is what a business card says of a user. Every field may be empty and
// is shown to others as it was written; numbers here are for reading and
// dialling by hand, several users may have the same, and calls are routed by
// User.Phones alone. The names in JSON are those of the attributes of inetOrgPerson
// and Active Directory where these have one.
type Profile struct {
	GivenName  string `json:"givenName,omitempty"`
	Surname    string `json:"sn,omitempty"`
	Title      string `json:"title,omitempty"`
	Department string `json:"department,omitempty"`
	Company    string `json:"company,omitempty"`
	Office     string `json:"physicalDeliveryOfficeName,omitempty"`
	Mail       string `json:"mail,omitempty"`
	WorkPhone  string `json:"telephoneNumber,omitempty"` // empty: the first of User.Phones is shown
	HomePhone  string `json:"homePhone,omitempty"`
	Mobile     string `json:"mobile,omitempty"`
	OtherPhone string `json:"otherTelephone,omitempty"`
	Street     string `json:"streetAddress,omitempty"`
	City       string `json:"l,omitempty"`
	State      string `json:"st,omitempty"`
	PostalCode string `json:"postalCode,omitempty"`
	Country    string `json:"c,omitempty"`
}

const maxProfileField = 256 // bytes

// fields calls fn with the name and the value of each field, which fn may change.
func (p *Profile) fields(fn func(name string, value *string) error) error {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if err := fn(name, v.Field(i).Addr().Interface().(*string)); err != nil {
			return err
		}
	}
	return nil
}

// clean trims the fields and refuses what cannot be shown.
func (p *Profile) clean() error {
	return p.fields(func(name string, value *string) error {
		*value = strings.TrimSpace(*value)
		switch {
		case len(*value) > maxProfileField:
			return invalid("profile", "%s has %d bytes, want at most %d", name, len(*value), maxProfileField)
		case !utf8.ValidString(*value) || strings.ContainsFunc(*value, unicode.IsControl):
			return invalid("profile", "%s holds characters that cannot be shown", name)
		case name == "mail" && *value != "" && !strings.Contains(*value, "@"):
			return invalid("profile", "%q is not a mail address such as alice@example.test", *value)
		}
		return nil
	})
}

// encodeProfile writes p over the text that is stored. What a newer version of the
// program stored beside the fields known here stays.
func encodeProfile(stored string, p Profile) (string, error) {
	all := map[string]any{}
	if err := json.Unmarshal([]byte(stored), &all); err != nil {
		return "", err
	}
	err := p.fields(func(name string, value *string) error {
		if all[name] = *value; *value == "" {
			delete(all, name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(all)
	return string(text), err
}

func decodeProfile(text string) (p Profile, err error) {
	if text == "{}" {
		return p, nil
	}
	err = json.Unmarshal([]byte(text), &p)
	return p, err
}
