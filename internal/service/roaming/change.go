package roaming

import (
	"slices"
	"strings"

	"parley/internal/sip"
	"parley/internal/xmldoc/contacts"
	"parley/internal/xmldoc/soap"
)

// Bounds of a contact list besides the number of contacts.
const (
	maxGroup = 63
	maxURI   = 454
	maxName  = 256
	maxExtra = 1024
	maxLog   = 128
)

// book is a user's contact list in memory, as long as somebody is subscribed to
// it.
type book struct {
	contacts.List
	log []logged // the last changes, oldest first
}

// logged is a change that led to list num, and the endpoint that made it.
type logged struct {
	num    int64
	change contacts.Change
	by     string
}

// refusals of changes. The client does not read them, but gets the list as it is.
var (
	errStale    = &sip.Error{Code: 409, Diagnostic: "the same entry was changed by another endpoint"}
	errFull     = &sip.Error{Code: 403, Reason: "Too Many Contacts"}
	errGroups   = &sip.Error{Code: 403, Reason: "Too Many Groups"}
	errFirst    = &sip.Error{Code: 403, Diagnostic: "group 1 stays as it is"}
	errNotEmpty = &sip.Error{Code: 403, Diagnostic: "a group must be empty to be deleted"}
	errMissing  = &sip.Error{Code: 404, Diagnostic: "no such contact or group"}
	errMethod   = &sip.Error{Code: 501, Diagnostic: "unknown method"}
)

func bad(what string) error { return &sip.Error{Code: 400, Diagnostic: "bad " + what} }

// plan finds what a request changes, on the list as it is now. A nil change with
// no error is a wish that is fulfilled already; group is then the number it is
// about. by is the endpoint, utmost the number of contacts a user may have.
//
// A request that was made on an older list is done all the same when nobody else
// has touched its entry meanwhile: two clients may edit at once, and clients do
// not try again. They also count requests that failed, so a number from the
// future says nothing.
func (b *book) plan(r *soap.Request, by string, utmost int) (c *contacts.Change, group int, err error) {
	c = &contacts.Change{}
	switch r.Method {
	case "setContact":
		err = b.setContact(r, c, utmost)
	case "deleteContact":
		c.Kind = contacts.DeletedContact
		if c.Contact.URI, err = contactURI(r.Arg("URI")); err == nil && b.contact(c.Contact.URI) < 0 {
			return nil, 0, nil
		}
	case "addGroup":
		c.Kind = contacts.AddedGroup
		group, err = b.addGroup(r, c)
		if group != 0 {
			return nil, group, nil
		}
	case "modifyGroup", "deleteGroup":
		err = b.changeGroup(r, c)
	default:
		err = errMethod
	}
	if err != nil {
		return nil, 0, err
	}
	if n, ok := r.DeltaNum(); ok && b.touched(c, n, by) {
		return nil, 0, errStale
	}
	return c, c.Group.ID, nil
}

func (b *book) setContact(r *soap.Request, c *contacts.Change, utmost int) (err error) {
	n := &c.Contact
	if n.URI, err = contactURI(r.Arg("URI")); err != nil {
		return err
	}
	n.Name, n.ExternalURI, n.Extension = r.Arg("displayName"), r.Arg("externalURI"), r.Arg("contactExtension")
	n.Subscribed = r.Arg("subscribed") != "false"
	if len(n.Name) > maxName || len(n.ExternalURI) > maxURI || len(n.Extension) > maxExtra {
		return bad("contact: a text is too long")
	}
	ids, err := contacts.ParseGroups(r.Arg("groups"))
	if err != nil {
		return bad("groups")
	}
	for _, id := range ids {
		if b.group(id) >= 0 { // another endpoint may have deleted it
			n.Groups = append(n.Groups, id)
		}
	}
	if n.Groups == nil {
		n.Groups = []int{1}
	}
	c.Kind = contacts.ModifiedContact
	if i := b.contact(n.URI); i < 0 {
		c.Kind = contacts.AddedContact
		if len(b.Contacts) >= utmost {
			return errFull
		}
	} else if _, set := r.Args["contactExtension"]; !set {
		n.Extension = b.Contacts[i].Extension
	}
	return nil
}

// addGroup takes the lowest free number, or returns the group of that name which
// is there.
func (b *book) addGroup(r *soap.Request, c *contacts.Change) (exists int, err error) {
	g := &c.Group
	if g.Name, g.ExternalURI = strings.TrimSpace(r.Arg("name")), r.Arg("externalURI"); g.Name == "" || len(g.Name) > maxName || len(g.ExternalURI) > maxURI {
		return 0, bad("group name")
	}
	for _, have := range b.Groups {
		if have.Name == g.Name {
			return have.ID, nil
		}
	}
	for g.ID = 1; b.group(g.ID) >= 0; g.ID++ {
	}
	if g.ID > maxGroup {
		return 0, errGroups
	}
	return 0, nil
}

func (b *book) changeGroup(r *soap.Request, c *contacts.Change) error {
	ids, err := contacts.ParseGroups(r.Arg("groupID"))
	if err != nil || len(ids) != 1 {
		return bad("groupID")
	}
	g := &c.Group
	*g = contacts.Group{ID: ids[0], Name: strings.TrimSpace(r.Arg("name")), ExternalURI: r.Arg("externalURI")}
	switch {
	case g.ID == 1:
		return errFirst
	case b.group(g.ID) < 0:
		return errMissing
	case r.Method == "modifyGroup":
		if c.Kind = contacts.ModifiedGroup; g.Name == "" || len(g.Name) > maxName || len(g.ExternalURI) > maxURI {
			return bad("group name")
		}
		return nil
	}
	c.Kind = contacts.DeletedGroup
	for i := range b.Contacts {
		if slices.Contains(b.Contacts[i].Groups, g.ID) {
			return errNotEmpty
		}
	}
	return nil
}

// contactURI is the address of a contact as lists have it.
func contactURI(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "sip:")
	var u sip.URI
	if s == "" || len(s) > maxURI || sip.ParseURI([]byte("sip:"+s), &u) != nil {
		return "", bad("URI")
	}
	return s, nil
}

func (b *book) contact(uri string) int {
	return slices.IndexFunc(b.Contacts, func(c contacts.Contact) bool { return c.URI == uri })
}

func (b *book) group(id int) int {
	return slices.IndexFunc(b.Groups, func(g contacts.Group) bool { return g.ID == id })
}

// touched reports whether another endpoint has changed the entry of c after list n,
// or whether that is not known any more. What is new to the list was changed by
// nobody: clients add contacts even before they have read the list.
func (b *book) touched(c *contacts.Change, n int64, by string) bool {
	if n >= b.DeltaNum || c.Kind == contacts.AddedGroup || c.Kind == contacts.AddedContact {
		return false
	}
	if len(b.log) == 0 || b.log[0].num > n+1 {
		return true
	}
	for _, l := range b.log {
		if l.num > n && l.by != by && l.change.Group.ID == c.Group.ID && l.change.Contact.URI == c.Contact.URI {
			return true
		}
	}
	return false
}

// apply makes a change that was stored.
func (b *book) apply(c *contacts.Change, by string) {
	switch c.Kind {
	case contacts.AddedGroup:
		b.Groups = append(slices.Clip(b.Groups), c.Group)
	case contacts.ModifiedGroup:
		b.Groups = slices.Clone(b.Groups)
		b.Groups[b.group(c.Group.ID)] = c.Group
	case contacts.DeletedGroup:
		b.Groups = slices.DeleteFunc(slices.Clone(b.Groups), func(g contacts.Group) bool { return g.ID == c.Group.ID })
	case contacts.AddedContact:
		b.Contacts = append(slices.Clip(b.Contacts), c.Contact)
	case contacts.ModifiedContact:
		b.Contacts = slices.Clone(b.Contacts)
		b.Contacts[b.contact(c.Contact.URI)] = c.Contact
	case contacts.DeletedContact:
		b.Contacts = slices.DeleteFunc(slices.Clone(b.Contacts), func(o contacts.Contact) bool { return o.URI == c.Contact.URI })
	}
	b.DeltaNum++
	if len(b.log) == maxLog {
		b.log = slices.Delete(b.log, 0, maxLog/2)
	}
	b.log = append(b.log, logged{b.DeltaNum, *c, by})
}

// news is what an endpoint that knows list told is sent: the change if it is one,
// else the whole list, since a delta can only tell changes in an order of its own.
func (b *book) news(told int64) []byte {
	if n := len(b.log); n > 0 && told == b.DeltaNum-1 && b.log[n-1].num == b.DeltaNum {
		return b.log[n-1].change.AppendDelta(nil, told, b.DeltaNum)
	}
	return b.Append(nil)
}
