// Package roaming reads and prints what a user's own endpoints tell each other
// through the server: the event package vnd-microsoft-roaming-self, and the
// requests that change containers and subscribers ([MS-PRES]).
package roaming

import (
	"slices"
	"strconv"

	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
)

// Names of the family.
const (
	EventPackage          = "vnd-microsoft-roaming-self"
	MediaType             = "application/vnd-microsoft-roaming-self+xml"
	SetMembersType        = "application/msrtc-setcontainermembers+xml"
	SetSubscribersType    = "application/msrtc-presence-setsubscriber+xml"
	Namespace             = "http://schemas.microsoft.com/2006/09/sip/roaming-self"
	ContainerSpace        = "http://schemas.microsoft.com/2006/09/sip/containers"
	SubscriberSpace       = "http://schemas.microsoft.com/2006/09/sip/presence-subscribers"
	ManagementSpace       = "http://schemas.microsoft.com/2006/09/sip/container-management"
	maxContainers         = 32
	maxMembers            = 1024
	maxValue              = 512
	maxSubscribersAtATime = 200
)

// MemberType is what a container's member is.
type MemberType string

// The types, from the most to the least specific.
const (
	User           MemberType = "user"
	Domain         MemberType = "domain"
	SameEnterprise MemberType = "sameEnterprise"
	Federated      MemberType = "federated"
	PublicCloud    MemberType = "publicCloud"
	Everyone       MemberType = "everyone"
)

// Member belongs to a container.
type Member struct {
	Type  MemberType
	Value string // address of a user, name of a domain, else ""
}

// Container says who has an access level.
type Container struct {
	ID, Version uint32
	Members     []Member
}

// Subscriber is somebody who has put the user on his contact list.
type Subscriber struct {
	User         string // "bob@example.test"
	DisplayName  string
	Acknowledged bool
	Type         MemberType
}

// Wanted is which parts a subscription is for.
type Wanted struct{ Categories, Containers, Subscribers, Delegates bool }

// ParseWanted reads the body of a SUBSCRIBE. An empty one wants everything.
func ParseWanted(b []byte) (Wanted, error) {
	if len(b) == 0 {
		return Wanted{true, true, true, true}, nil
	}
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 8 << 10, Elements: 64})
	if err != nil {
		return Wanted{}, err
	}
	if root.Name.Local != "roamingList" {
		return Wanted{}, &xmldoc.Error{Text: "not a list of roaming data"}
	}
	var w Wanted
	for e := range root.Kids {
		switch e.AttrFold("type") {
		case "categories":
			w.Categories = true
		case "containers":
			w.Containers = true
		case "subscribers":
			w.Subscribers = true
		case "delegates":
			w.Delegates = true
		}
	}
	return w, nil
}

// Data is a notification. A nil slice is a part that is not in it.
type Data struct {
	URI         string // of the user, "sip:alice@example.test"
	Categories  []categories.Category
	Containers  []Container
	Subscribers []Subscriber
}

// Append prints d.
func (d *Data) Append(dst []byte) []byte {
	dst = append(dst, `<roamingData xmlns="`+Namespace+`">`...)
	if d.Categories != nil {
		dst = categories.Begin(dst, d.URI)
		for i := range d.Categories {
			dst = d.Categories[i].Append(dst)
		}
		dst = categories.End(dst)
	}
	if d.Containers != nil {
		dst = append(dst, `<containers xmlns="`+ContainerSpace+`">`...)
		for i := range d.Containers {
			dst = d.Containers[i].append(dst)
		}
		dst = append(dst, "</containers>"...)
	}
	if d.Subscribers != nil {
		dst = append(dst, `<subscribers xmlns="`+SubscriberSpace+`">`...)
		for _, s := range d.Subscribers {
			dst = xmldoc.AppendAttr(append(dst, "<subscriber"...), "user", s.User)
			dst = xmldoc.AppendAttr(dst, "displayName", s.DisplayName)
			dst = xmldoc.AppendAttr(dst, "acknowledged", strconv.FormatBool(s.Acknowledged))
			dst = append(xmldoc.AppendAttr(dst, "type", string(s.Type)), "/>"...)
		}
		dst = append(dst, "</subscribers>"...)
	}
	return append(dst, "</roamingData>"...)
}

func (c *Container) append(dst []byte) []byte {
	dst = xmldoc.AppendAttr(append(dst, "<container"...), "id", strconv.FormatUint(uint64(c.ID), 10))
	dst = append(xmldoc.AppendAttr(dst, "version", strconv.FormatUint(uint64(c.Version), 10)), '>')
	for _, m := range c.Members {
		dst = xmldoc.AppendAttr(append(dst, "<member"...), "type", string(m.Type))
		if m.Value != "" {
			dst = xmldoc.AppendAttr(dst, "value", m.Value)
		}
		dst = append(dst, "/>"...)
	}
	return append(dst, "</container>"...)
}

// Parse reads a notification, as a client does.
func Parse(b []byte) (*Data, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 2 << 20, Elements: 16384})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "roamingData" {
		return nil, &xmldoc.Error{Text: "not roaming data"}
	}
	d := &Data{}
	if e := root.Kid("categories"); e != nil {
		doc, err := categories.FromElement(e)
		if err != nil {
			return nil, err
		}
		d.URI, d.Categories = doc.URI, append([]categories.Category{}, doc.Categories...)
	}
	if e := root.Kid("containers"); e != nil {
		d.Containers = []Container{}
		for k := range e.Kids {
			c := Container{ID: number(k, "id"), Version: number(k, "version")}
			for m := range k.Kids {
				c.Members = append(c.Members, Member{MemberType(m.Attr("type")), m.Attr("value")})
			}
			d.Containers = append(d.Containers, c)
		}
	}
	if e := root.Kid("subscribers"); e != nil {
		d.Subscribers = []Subscriber{}
		for k := range e.Kids {
			d.Subscribers = append(d.Subscribers, Subscriber{k.Attr("user"), k.Attr("displayName"), k.Attr("acknowledged") == "true", MemberType(k.Attr("type"))})
		}
	}
	return d, nil
}

func number(e *xmldoc.Element, name string) uint32 {
	n, _ := strconv.ParseUint(e.AttrFold(name), 10, 32)
	return uint32(n)
}

// MemberChange is one change of a container's members.
type MemberChange struct {
	Member
	Add bool
}

// ContainerChange is a change of one container, made on a version of it.
type ContainerChange struct {
	ID, Version uint32
	Members     []MemberChange
}

// ParseSetMembers reads a request to change containers.
func ParseSetMembers(b []byte) ([]ContainerChange, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "setContainerMembers" {
		return nil, &xmldoc.Error{Text: "not a change of containers"}
	}
	var out []ContainerChange
	members := 0
	for e := range root.Kids {
		if e.Name.Local != "container" {
			continue
		}
		id, err := strconv.ParseUint(e.AttrFold("id"), 10, 32)
		if err != nil {
			return nil, &xmldoc.Error{Text: "container without id"}
		}
		c := ContainerChange{ID: uint32(id), Version: number(e, "version")}
		if slices.ContainsFunc(out, func(o ContainerChange) bool { return o.ID == c.ID }) {
			return nil, &xmldoc.Error{Text: "a container occurs twice"}
		}
		for k := range e.Kids {
			m, err := memberChange(k)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(c.Members, func(o MemberChange) bool { return o.Member == m.Member }) {
				return nil, &xmldoc.Error{Text: "a member occurs twice"} // added and removed at once, too
			}
			c.Members = append(c.Members, m)
			members++
		}
		out = append(out, c)
	}
	if len(out) == 0 || len(out) > maxContainers || members > maxMembers {
		return nil, &xmldoc.Error{Text: "no containers, or too many containers or members"}
	}
	return out, nil
}

func memberChange(e *xmldoc.Element) (m MemberChange, err error) {
	switch e.AttrFold("action") {
	case "add":
		m.Add = true
	case "remove":
	default:
		return m, &xmldoc.Error{Text: "member neither added nor removed"}
	}
	m.Type, m.Value = MemberType(e.AttrFold("type")), e.AttrFold("value")
	switch m.Type {
	case User, Domain:
		if m.Value == "" || len(m.Value) > maxValue {
			return m, &xmldoc.Error{Text: "member without value, or one that is too long"}
		}
	case SameEnterprise, Federated, PublicCloud, Everyone:
		m.Value = ""
	default:
		return m, &xmldoc.Error{Text: "unknown type of member"}
	}
	return m, nil
}

// AppendSetMembers writes what ParseSetMembers reads.
func AppendSetMembers(dst []byte, changes []ContainerChange) []byte {
	dst = append(dst, `<setContainerMembers xmlns="`+ManagementSpace+`">`...)
	for _, c := range changes {
		dst = xmldoc.AppendAttr(append(dst, "<container"...), "id", strconv.FormatUint(uint64(c.ID), 10))
		dst = append(xmldoc.AppendAttr(dst, "version", strconv.FormatUint(uint64(c.Version), 10)), '>')
		for _, m := range c.Members {
			action := "remove"
			if m.Add {
				action = "add"
			}
			dst = xmldoc.AppendAttr(append(dst, "<member"...), "action", action)
			dst = xmldoc.AppendAttr(dst, "type", string(m.Type))
			if m.Value != "" {
				dst = xmldoc.AppendAttr(dst, "value", m.Value)
			}
			dst = append(dst, "/>"...)
		}
		dst = append(dst, "</container>"...)
	}
	return append(dst, "</setContainerMembers>"...)
}

// ParseSetSubscribers reads which subscribers a user has heard of.
func ParseSetSubscribers(b []byte) ([]string, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 64 << 10})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "setSubscribers" {
		return nil, &xmldoc.Error{Text: "not a change of subscribers"}
	}
	var out []string
	for e := range root.Kids {
		user := e.AttrFold("user")
		if e.Name.Local != "subscriber" || user == "" || len(user) > maxValue || e.AttrFold("acknowledged") == "false" {
			return nil, &xmldoc.Error{Text: "subscriber without user, or not acknowledged"}
		}
		if out = append(out, user); len(out) > maxSubscribersAtATime {
			return nil, &xmldoc.Error{Text: "too many subscribers"}
		}
	}
	return out, nil
}

// AppendSetSubscribers writes what ParseSetSubscribers reads.
func AppendSetSubscribers(dst []byte, users ...string) []byte {
	dst = append(dst, `<setSubscribers xmlns="`+SubscriberSpace+`">`...)
	for _, u := range users {
		dst = append(xmldoc.AppendAttr(append(dst, "<subscriber"...), "user", u), ` acknowledged="true"/>`...)
	}
	return append(dst, "</setSubscribers>"...)
}
