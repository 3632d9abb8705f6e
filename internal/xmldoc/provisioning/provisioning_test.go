package provisioning

import (
	"reflect"
	"testing"

	"parley/internal/xmldoc"
)

func TestRequest(t *testing.T) {
	in := `<provisioningGroupList xmlns="http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist"><provisioningGroup name="ServerConfiguration"/><provisioningGroup name="ucPolicy"/></provisioningGroupList>`
	names, err := Parse([]byte(in))
	if err != nil || !reflect.DeepEqual(names, []string{"ServerConfiguration", "ucPolicy"}) || string(AppendRequest(nil, names...)) != in {
		t.Errorf("%v: %q", err, names)
	}
}

func TestAppend(t *testing.T) {
	got := string(Append(nil, []Group{
		{"ServerConfiguration", Flat, []Setting{{"ucPC2PCAVEncryption", "SupportEncryption"}}},
		{"persistentChatConfiguration", Entries, []Setting{{"EnablePersistentChat", "true"}}},
		{"ucPolicy", Instance, []Setting{{"name", "<x>"}}},
	}))
	want := `<provisionGroupList xmlns="` + Namespace + `"><provisionGroup name="ServerConfiguration"><ucPC2PCAVEncryption>SupportEncryption</ucPC2PCAVEncryption></provisionGroup>` +
		`<provisionGroup name="persistentChatConfiguration"><propertyEntryList><property name="EnablePersistentChat">true</property></propertyEntryList></provisionGroup>` +
		`<provisionGroup name="ucPolicy"><instance><property name="name">&lt;x&gt;</property></instance></provisionGroup></provisionGroupList>`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if _, err := xmldoc.Parse([]byte(got), xmldoc.Limits{}); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(AppendRequest(nil, "a", "b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(AppendRequest(nil, names...))
		if err != nil || !reflect.DeepEqual(names, again) {
			t.Fatalf("%v: %q became %q", err, names, again)
		}
	})
}
