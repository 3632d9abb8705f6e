// Package contacts prints contact lists and their changes, and reads them, as
// the event package vnd-microsoft-roaming-contacts carries them ([MS-SIP] 2.2.4).
package contacts

import (
	"strconv"
	"strings"

	"parley/internal/xmldoc"
)

// Names of the family.
const (
	EventPackage = "vnd-microsoft-roaming-contacts"
	MediaType    = "application/vnd-microsoft-roaming-contacts+xml"
	Namespace    = "http://schemas.microsoft.com/2002/09/sip/contacts"
)

// OtherContacts is the name of the first group, which always exists.
const OtherContacts = "~"

// List is a whole contact list. DeltaNum counts its changes and is never 0.
type List struct {
	DeltaNum int64
	Groups   []Group
	Contacts []Contact
}

// Group is a group of contacts.
type Group struct {
	ID          int
	Name        string
	ExternalURI string
}

// Contact is somebody on the list.
type Contact struct {
	URI         string // "bob@example.test", without the scheme
	Name        string // "" takes the name he has in the directory
	Groups      []int
	Subscribed  bool
	ExternalURI string
	Extension   string // kept for clients that have one: text of contactExtension
}

// Append prints l.
func (l *List) Append(dst []byte) []byte {
	dst = append(dst, `<contactList xmlns="`+Namespace+`" deltaNum="`...)
	dst = append(strconv.AppendInt(dst, l.DeltaNum, 10), `">`...)
	for i := range l.Groups {
		dst = l.Groups[i].append(dst, "group")
	}
	for i := range l.Contacts {
		dst = l.Contacts[i].append(dst, "contact", "")
	}
	return append(dst, "</contactList>"...)
}

func (g *Group) append(dst []byte, element string) []byte {
	dst = append(append(dst, '<'), element...)
	dst = xmldoc.AppendAttr(dst, "id", strconv.Itoa(g.ID))
	dst = xmldoc.AppendAttr(dst, "name", g.Name)
	return append(xmldoc.AppendAttr(dst, "externalURI", g.ExternalURI), "/>"...)
}

func (c *Contact) append(dst []byte, element, scheme string) []byte {
	dst = append(append(dst, '<'), element...)
	dst = xmldoc.AppendAttr(dst, "uri", scheme+c.URI)
	dst = xmldoc.AppendAttr(dst, "name", c.Name)
	dst = xmldoc.AppendAttr(dst, "groups", FormatGroups(c.Groups))
	dst = xmldoc.AppendAttr(dst, "subscribed", strconv.FormatBool(c.Subscribed))
	dst = xmldoc.AppendAttr(dst, "externalURI", c.ExternalURI)
	if c.Extension == "" {
		return append(dst, "/>"...)
	}
	dst = append(dst, '>')
	dst = xmldoc.AppendElement(dst, "contactExtension", c.Extension)
	return append(append(append(dst, "</"...), element...), '>')
}

// FormatGroups writes group numbers as the attribute groups.
func FormatGroups(ids []int) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

// ParseGroups reads numbers separated by blanks. What is no number, or one twice, is an
// error.
func ParseGroups(s string) ([]int, error) {
	var ids []int
	for _, f := range strings.Fields(s) {
		id, err := strconv.Atoi(f)
		if err != nil || id < 1 {
			return nil, &xmldoc.Error{Text: "groups are not numbers"}
		}
		for _, have := range ids {
			if have == id {
				return nil, &xmldoc.Error{Text: "a group is named twice"}
			}
		}
		if ids = append(ids, id); len(ids) > 64 {
			return nil, &xmldoc.Error{Text: "too many groups"}
		}
	}
	return ids, nil
}

// Kind is what a change does.
type Kind uint8

// The kinds, in the order in which a delta lists them.
const (
	AddedGroup Kind = iota
	ModifiedGroup
	AddedContact
	ModifiedContact
	DeletedContact
	DeletedGroup
)

// Change is one change of a list: of Group or of Contact, as the kind says.
type Change struct {
	Kind    Kind
	Group   Group
	Contact Contact
}

// AppendDelta prints one change that led from list prev to list num. Addresses in
// deltas have a scheme, unlike those in lists: clients take them so.
func (c *Change) AppendDelta(dst []byte, prev, num int64) []byte {
	dst = append(dst, `<contactDelta xmlns="`+Namespace+`" deltaNum="`...)
	dst = append(strconv.AppendInt(dst, num, 10), `" prevDeltaNum="`...)
	dst = append(strconv.AppendInt(dst, prev, 10), `">`...)
	switch c.Kind {
	case AddedGroup:
		dst = c.Group.append(dst, "addedGroup")
	case ModifiedGroup:
		dst = c.Group.append(dst, "modifiedGroup")
	case DeletedGroup:
		dst = append(xmldoc.AppendAttr(append(dst, "<deletedGroup"...), "id", strconv.Itoa(c.Group.ID)), "/>"...)
	case AddedContact:
		dst = c.Contact.append(dst, "addedContact", "sip:")
	case ModifiedContact:
		dst = c.Contact.append(dst, "modifiedContact", "sip:")
	case DeletedContact:
		dst = append(xmldoc.AppendAttr(append(dst, "<deletedContact"...), "uri", "sip:"+c.Contact.URI), "/>"...)
	}
	return append(dst, "</contactDelta>"...)
}

// Parse reads a whole list, as a client does.
func Parse(b []byte) (*List, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Elements: 8192, Bytes: 1 << 20})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "contactList" {
		return nil, &xmldoc.Error{Text: "not a contact list"}
	}
	l := &List{}
	if l.DeltaNum, err = strconv.ParseInt(root.Attr("deltaNum"), 10, 64); err != nil || l.DeltaNum < 1 {
		return nil, &xmldoc.Error{Text: "bad deltaNum"}
	}
	for e := range root.Kids {
		switch e.Name.Local {
		case "group":
			g := Group{Name: e.Attr("name"), ExternalURI: e.Attr("externalURI")}
			if g.ID, err = strconv.Atoi(e.Attr("id")); err != nil || g.Name == "" {
				return nil, &xmldoc.Error{Text: "group without id or name"}
			}
			l.Groups = append(l.Groups, g)
		case "contact":
			c := Contact{URI: e.Attr("uri"), Name: e.Attr("name"), Subscribed: e.Attr("subscribed") == "true",
				ExternalURI: e.Attr("externalURI"), Extension: e.KidText("contactExtension")}
			if c.Groups, err = ParseGroups(e.Attr("groups")); err != nil || c.URI == "" {
				return nil, &xmldoc.Error{Text: "contact without uri, or in no groups"}
			}
			l.Contacts = append(l.Contacts, c)
		}
	}
	return l, nil
}
