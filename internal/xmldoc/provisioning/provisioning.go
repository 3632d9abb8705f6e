// Package provisioning reads and prints in-band provisioning documents
// ([MS-SIPREGE] 2.2.2.4 and 2.2.2.5): a client names groups of settings and gets
// those.
package provisioning

import "parley/internal/xmldoc"

// Names of the family.
const (
	EventPackage = "vnd-microsoft-provisioning-v2"
	MediaType    = "application/vnd-microsoft-roaming-provisioning-v2+xml"
	ListSpace    = "http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist"
	Namespace    = "http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification"
	maxGroups    = 64
	maxName      = 64
)

// Parse reads which groups a client asks for.
func Parse(b []byte) ([]string, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 32 << 10, Elements: 512})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "provisioningGroupList" {
		return nil, &xmldoc.Error{Text: "not a list of provisioning groups"}
	}
	var names []string
	for e := range root.Kids {
		if e.Name.Local != "provisioningGroup" {
			continue
		}
		name := e.AttrFold("name")
		if name == "" || len(name) > maxName {
			return nil, &xmldoc.Error{Text: "group without name, or one that is too long"}
		}
		if names = append(names, name); len(names) > maxGroups {
			return nil, &xmldoc.Error{Text: "too many groups"}
		}
	}
	return names, nil
}

// AppendRequest writes what Parse reads.
func AppendRequest(dst []byte, names ...string) []byte {
	dst = append(dst, `<provisioningGroupList xmlns="`+ListSpace+`">`...)
	for _, n := range names {
		dst = append(xmldoc.AppendAttr(append(dst, "<provisioningGroup"...), "name", n), "/>"...)
	}
	return append(dst, "</provisioningGroupList>"...)
}

// Layout is how the settings of a group are written.
type Layout uint8

// The layouts.
const (
	Flat     Layout = iota // <name>value</name>
	Entries                // <propertyEntryList><property name="">value</property>
	Instance               // <instance><property name="">value</property>
)

// Group is a group of settings.
type Group struct {
	Name     string
	Layout   Layout
	Settings []Setting
}

// Setting is one name with its value. In a Flat group the name must be one of an
// XML element.
type Setting struct{ Name, Value string }

// Append prints a document with the groups.
func Append(dst []byte, groups []Group) []byte {
	dst = append(dst, `<provisionGroupList xmlns="`+Namespace+`">`...)
	for _, g := range groups {
		dst = append(xmldoc.AppendAttr(append(dst, "<provisionGroup"...), "name", g.Name), '>')
		outer := [...]string{"", "propertyEntryList", "instance"}[g.Layout]
		if outer != "" {
			dst = append(append(append(dst, '<'), outer...), '>')
		}
		for _, s := range g.Settings {
			if g.Layout == Flat {
				dst = xmldoc.AppendElement(dst, s.Name, s.Value)
				continue
			}
			dst = append(xmldoc.AppendAttr(append(dst, "<property"...), "name", s.Name), '>')
			dst = append(xmldoc.AppendText(dst, s.Value), "</property>"...)
		}
		if outer != "" {
			dst = append(append(append(dst, "</"...), outer...), '>')
		}
		dst = append(dst, "</provisionGroup>"...)
	}
	return append(dst, "</provisionGroupList>"...)
}
