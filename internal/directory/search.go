package directory

import (
	"slices"
	"strings"

	"parley/internal/uc"
)

// Attribute returns the values of an attribute of a user, by its name in Active
// Directory in any case. What is empty, or not known by that name, has none.
// Numbers are URIs ("tel:+15550100") where they are international ones.
func (u *User) Attribute(name string) []string {
	p := &u.Profile
	switch strings.ToLower(name) {
	case "displayname", "cn":
		return one(u.DisplayName())
	case "givenname":
		return one(u.givenName())
	case "sn":
		return one(u.surname())
	case "title":
		return one(p.Title)
	case "department":
		return one(p.Department)
	case "company":
		return one(p.Company)
	case "physicaldeliveryofficename", "office":
		return one(p.Office)
	case "mail":
		return one(u.Mail())
	case "mailnickname":
		return one(u.AOR.User())
	case "msrtcsip-primaryuseraddress":
		return one(u.AOR.URI())
	case "telephonenumber":
		return numbers(p.WorkPhone, u.Phones[:min(1, len(u.Phones))])
	case "homephone":
		return numbers(p.HomePhone, nil)
	case "mobile":
		return numbers(p.Mobile, nil)
	case "othertelephone":
		return numbers(p.OtherPhone, u.Phones[min(1, len(u.Phones)):])
	case "streetaddress":
		return one(p.Street)
	case "l", "city":
		return one(p.City)
	case "st", "state":
		return one(p.State)
	case "postalcode":
		return one(p.PostalCode)
	case "c", "country":
		return one(p.Country)
	}
	return nil
}

// DisplayName is how a user is shown: by name, or by the first part of the
// address.
func (u *User) DisplayName() string {
	if u.Name != "" {
		return u.Name
	}
	return u.AOR.User()
}

// Mail is the mail address of a user: an own one, or the address of record.
func (u *User) Mail() string {
	if u.Profile.Mail != "" {
		return u.Profile.Mail
	}
	return string(u.AOR)
}

func (u *User) givenName() string {
	if u.Profile.GivenName != "" {
		return u.Profile.GivenName
	}
	given, _, _ := strings.Cut(u.DisplayName(), " ")
	return given
}

func (u *User) surname() string {
	if u.Profile.Surname != "" {
		return u.Profile.Surname
	}
	_, rest, _ := strings.Cut(u.Name, " ")
	return strings.TrimSpace(rest)
}

func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// numbers are an own text, or those calls come in by.
func numbers(own string, phones []string) []string {
	if own == "" {
		return phones
	}
	if number, ok := canonicalNumber(own); ok {
		own = "tel:" + number
	}
	return []string{own}
}

// Begins reports whether an attribute of a user begins with value, which must be
// in lower case and not empty. Of names every word counts, of addresses the part
// after the scheme and the aliases too.
func (u *User) Begins(attribute, value string) bool {
	attribute = strings.ToLower(attribute)
	for _, v := range u.Attribute(attribute) {
		v = strings.ToLower(v)
		switch attribute {
		case "displayname", "cn", "givenname", "sn":
			if beginsWord(v, value) {
				return true
			}
		case "msrtcsip-primaryuseraddress":
			bare := strings.TrimPrefix(value, "sip:")
			if bare != "" && (strings.HasPrefix(string(u.AOR), bare) || slices.ContainsFunc(u.Aliases, func(a uc.AOR) bool { return string(a) == bare })) {
				return true
			}
		case "telephonenumber", "homephone", "mobile", "othertelephone":
			if strings.HasPrefix(strings.TrimPrefix(v, "tel:"), strings.TrimPrefix(value, "tel:")) {
				return true
			}
		default:
			if strings.HasPrefix(v, value) {
				return true
			}
		}
	}
	return false
}

func beginsWord(text, value string) bool {
	for {
		if strings.HasPrefix(text, value) {
			return true
		}
		i := strings.IndexByte(text, ' ')
		if i < 0 {
			return false
		}
		text = strings.TrimLeft(text[i:], " ")
	}
}

// DialsName reports whether digits typed on a telephone keypad (ITU-T E.161) spell
// how a name of the user begins.
func (u *User) DialsName(digits string) bool {
	if digits == "" {
		return false
	}
	for _, name := range []string{u.DisplayName(), u.Profile.GivenName, u.Profile.Surname} {
		if name != "" && beginsWord(keypad(name), digits) {
			return true
		}
	}
	return false
}

// keypad turns letters into the digits they stand on. Words stay apart; what is
// on no key is left out.
func keypad(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
			fallthrough
		case 'a' <= r && r <= 'z':
			return rune("22233344455566677778889999"[r-'a'])
		}
		return -1
	}, name)
}
