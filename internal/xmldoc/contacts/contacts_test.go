package contacts

import (
	"reflect"
	"testing"
)

var list = List{7, []Group{{1, "~", ""}, {2, "Friends", ""}},
	[]Contact{{URI: "bob@example.test", Groups: []int{1, 2}, Subscribed: true}, {URI: "c@example.test", Name: `C "&`, Groups: []int{1}, Extension: "<x/>"}}}

// Clients match these texts.
func TestSpelling(t *testing.T) {
	one := List{7, list.Groups, list.Contacts[:1]}
	if got, want := string(one.Append(nil)), `<contactList xmlns="http://schemas.microsoft.com/2002/09/sip/contacts" deltaNum="7">`+
		`<group id="1" name="~" externalURI=""/><group id="2" name="Friends" externalURI=""/>`+
		`<contact uri="bob@example.test" name="" groups="1 2" subscribed="true" externalURI=""/></contactList>`; got != want {
		t.Errorf("list\n got %s\nwant %s", got, want)
	}
	bob := Contact{URI: "bob@example.test", Name: "Bobby", Groups: []int{2}, Subscribed: true}
	for want, c := range map[string]Change{
		`<addedGroup id="3" name="Team" externalURI=""/>`:    {Kind: AddedGroup, Group: Group{ID: 3, Name: "Team"}},
		`<modifiedGroup id="3" name="Crew" externalURI=""/>`: {Kind: ModifiedGroup, Group: Group{ID: 3, Name: "Crew"}},
		`<deletedGroup id="3"/>`:                             {Kind: DeletedGroup, Group: Group{ID: 3}},
		`<addedContact uri="sip:bob@example.test" name="Bobby" groups="2" subscribed="true" externalURI=""/>`:    {Kind: AddedContact, Contact: bob},
		`<modifiedContact uri="sip:bob@example.test" name="Bobby" groups="2" subscribed="true" externalURI=""/>`: {Kind: ModifiedContact, Contact: bob},
		`<deletedContact uri="sip:bob@example.test"/>`:                                                           {Kind: DeletedContact, Contact: bob},
	} {
		full := `<contactDelta xmlns="http://schemas.microsoft.com/2002/09/sip/contacts" deltaNum="8" prevDeltaNum="7">` + want + `</contactDelta>`
		if got := string(c.AppendDelta(nil, 7, 8)); got != full {
			t.Errorf("\n got %s\nwant %s", got, full)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse(list.Append(nil))
	if err != nil || !reflect.DeepEqual(*got, list) {
		t.Errorf("%v: %+v", err, got)
	}
	for _, groups := range []string{"x", "1 1", "0", "-1"} {
		if ids, err := ParseGroups(groups); err == nil {
			t.Errorf("%q accepted as %v", groups, ids)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(list.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(l.Append(nil))
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%v: %+v became %+v", err, l, again)
		}
	})
}
