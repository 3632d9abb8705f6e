package roaming

import (
	"reflect"
	"testing"

	"parley/internal/xmldoc/categories"
)

var changes = []ContainerChange{{400, 3, []MemberChange{{Member{User, "bob@example.test"}, false}}},
	{32000, 0, []MemberChange{{Member{User, "bob@example.test"}, true}, {Member{SameEnterprise, ""}, true}}}}

func TestSetMembers(t *testing.T) {
	got, err := ParseSetMembers(AppendSetMembers(nil, changes))
	if err != nil || !reflect.DeepEqual(got, changes) {
		t.Errorf("%v: %+v", err, got)
	}
	for name, in := range map[string]string{
		"add and remove":  `<setContainerMembers><container id="1"><member action="add" type="everyone"/><member action="remove" type="everyone"/></container></setContainerMembers>`,
		"container twice": `<setContainerMembers><container id="1"/><container id="1"/></setContainerMembers>`,
		"no action":       `<setContainerMembers><container id="1"><member type="everyone"/></container></setContainerMembers>`,
		"no value":        `<setContainerMembers><container id="1"><member action="add" type="user"/></container></setContainerMembers>`,
		"no type":         `<setContainerMembers><container id="1"><member action="add" type="x"/></container></setContainerMembers>`,
		"nothing":         `<setContainerMembers/>`,
	} {
		if got, err := ParseSetMembers([]byte(in)); err == nil {
			t.Errorf("%s accepted: %+v", name, got)
		}
	}
}

var data = Data{URI: "sip:alice@example.test", Categories: []categories.Category{},
	Containers:  []Container{{100, 0, []Member{{Federated, ""}}}, {400, 3, []Member{{User, "bob@example.test"}}}},
	Subscribers: []Subscriber{{"bob@example.test", "Bob", false, SameEnterprise}}}

func TestSpelling(t *testing.T) {
	want := `<roamingData xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self"><categories xmlns="http://schemas.microsoft.com/2006/09/sip/categories" uri="sip:alice@example.test"></categories>` +
		`<containers xmlns="http://schemas.microsoft.com/2006/09/sip/containers"><container id="100" version="0"><member type="federated"/></container>` +
		`<container id="400" version="3"><member type="user" value="bob@example.test"/></container></containers>` +
		`<subscribers xmlns="http://schemas.microsoft.com/2006/09/sip/presence-subscribers"><subscriber user="bob@example.test" displayName="Bob" acknowledged="false" type="sameEnterprise"/></subscribers></roamingData>`
	if got := string(data.Append(nil)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got, err := Parse([]byte(want)); err != nil || !reflect.DeepEqual(*got, data) {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestSubscribers(t *testing.T) {
	if got, err := ParseSetSubscribers(AppendSetSubscribers(nil, "bob@example.test")); err != nil || !reflect.DeepEqual(got, []string{"bob@example.test"}) {
		t.Errorf("%v: %q", err, got)
	}
}

func TestWanted(t *testing.T) {
	w, err := ParseWanted([]byte(`<roamingList xmlns="x"><roaming type="categories"/><roaming type="subscribers"/></roamingList>`))
	if err != nil || w != (Wanted{Categories: true, Subscribers: true}) {
		t.Errorf("%v: %+v", err, w)
	}
}

func FuzzSetMembers(f *testing.F) {
	f.Add(AppendSetMembers(nil, changes))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseSetMembers(b)
		if err != nil {
			return
		}
		if again, err := ParseSetMembers(AppendSetMembers(nil, got)); err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%v: %+v became %+v", err, got, again)
		}
	})
}

func FuzzSetSubscribers(f *testing.F) {
	f.Add(AppendSetSubscribers(nil, "bob@example.test"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseSetSubscribers(b)
		if err != nil {
			return
		}
		if again, err := ParseSetSubscribers(AppendSetSubscribers(nil, got...)); err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%v: %q became %q", err, got, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(data.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Parse(b); err == nil {
			d.Append(nil)
		}
		ParseWanted(b)
	})
}
