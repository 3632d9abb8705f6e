package directory

import (
	"fmt"
	"testing"

	"parley/internal/uc"
)

func TestAttributesOfAUser(t *testing.T) {
	plain := &User{AOR: "bob@example.test", Name: "Bob van Example", Phones: []string{"tel:+15550101", "tel:+15550102"}, Aliases: []uc.AOR{"robert@example.test"}}
	card := &User{AOR: "alice@example.test", Profile: Profile{GivenName: "Alice", Surname: "Adams", Title: "Engineer", Department: "Research", Company: "Example",
		Office: "12", Mail: "a@mail.test", WorkPhone: "+1 (555) 0100", HomePhone: "ask", Mobile: "+15550177", Street: "Main", City: "Nelson", State: "NSN", PostalCode: "7010", Country: "NZ"}}
	for _, row := range []struct {
		u          *User
		name, want string
	}{
		{plain, "displayName", "[Bob van Example]"}, {plain, "givenName", "[Bob]"}, {plain, "sn", "[van Example]"}, {plain, "mail", "[bob@example.test]"},
		{plain, "MAILNICKNAME", "[bob]"}, {plain, "telephoneNumber", "[tel:+15550101]"}, {plain, "otherTelephone", "[tel:+15550102]"},
		{plain, "homePhone", "[]"}, {plain, "company", "[]"}, {plain, "msRTCSIP-PrimaryUserAddress", "[sip:bob@example.test]"}, {plain, "shoeSize", "[]"},
		{card, "cn", "[alice]"}, {card, "givenName", "[Alice]"}, {card, "sn", "[Adams]"}, {card, "mail", "[a@mail.test]"}, {card, "title", "[Engineer]"},
		{card, "department", "[Research]"}, {card, "company", "[Example]"}, {card, "physicalDeliveryOfficeName", "[12]"}, {card, "telephoneNumber", "[tel:+15550100]"},
		{card, "homePhone", "[ask]"}, {card, "mobile", "[tel:+15550177]"}, {card, "otherTelephone", "[]"}, {card, "streetAddress", "[Main]"}, {card, "l", "[Nelson]"},
		{card, "st", "[NSN]"}, {card, "postalCode", "[7010]"}, {card, "c", "[NZ]"},
	} {
		if got := fmt.Sprint(row.u.Attribute(row.name)); got != row.want {
			t.Errorf("%s of %s is %s, want %s", row.name, row.u.AOR, got, row.want)
		}
	}
	for _, row := range []struct {
		u               *User
		attribute, text string
		want            bool
	}{
		{plain, "displayName", "bo", true}, {plain, "displayName", "exam", true}, {plain, "displayName", "xample", false}, {plain, "displayName", "van ex", true},
		{plain, "givenName", "bob", true}, {plain, "givenName", "exam", false}, {plain, "sn", "exam", true}, {plain, "sn", "van", true},
		{plain, "msRTCSIP-PrimaryUserAddress", "sip:bob@example.test", true}, {plain, "msRTCSIP-PrimaryUserAddress", "bob", true},
		{plain, "msRTCSIP-PrimaryUserAddress", "sip:", false}, {plain, "msRTCSIP-PrimaryUserAddress", "robert@example.test", true},
		{plain, "msRTCSIP-PrimaryUserAddress", "rob", false}, {plain, "telephoneNumber", "+1555", true}, {plain, "telephoneNumber", "tel:+1555", true},
		{plain, "telephoneNumber", "0101", false}, {card, "company", "ex", true}, {card, "company", "xa", false}, {plain, "company", "ex", false},
	} {
		if got := row.u.Begins(row.attribute, row.text); got != row.want {
			t.Errorf("%s of %s begins with %q: %v", row.attribute, row.u.AOR, row.text, got)
		}
	}
	for digits, want := range map[string]bool{"262": true, "826": true, "39": true, "3926753": true, "267539": false, "": false, "9": false} {
		if got := plain.DialsName(digits); got != want {
			t.Errorf("%s dials bob: %v", digits, got)
		}
	}
	if !card.DialsName("2326") {
		t.Error("2326 does not dial Adams")
	}
}
