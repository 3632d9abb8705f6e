package person

import (
	"maps"
	"slices"
	"strings"

	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

// aggregateInstance is the instance of the aggregated state.
const aggregateInstance = 1

// private are categories that nobody but the owner sees, whatever container they
// are in.
var private = map[string]bool{"routing": true, "dndState": true, "device": true, "userProperties": true, "userInformation": true,
	"alerts": true, "otherOptions": true, "rccOptions": true, "workingHours": true, "mwi": true}

// Told is what a watcher knows of a person: up to which change, seen from which
// level. The zero value knows nothing.
type Told struct {
	Rev   uint64
	Level uint32
}

// View appends the categories that a watcher does not know yet, as elements of a
// categories document, and returns what he then knows. A category that has gone
// is told as an empty one. It returns dst as it was when there is nothing new.
func (p *Person) View(dst []byte, names []string, level uint32, told Told) ([]byte, Told) {
	all := told.Rev == 0 || told.Level != level
	for _, name := range names {
		c := p.names[name]
		if private[name] || c == nil {
			continue
		}
		if !all && c.seen[level] <= told.Rev {
			continue
		}
		v := p.viewOf(c, name, level)
		if len(v) == 0 && told.Rev > 0 {
			v = (&categories.Category{Key: categories.Key{Name: name}, PublishTime: p.aggregate[0].at}).AppendFor(nil)
		}
		dst = append(dst, v...)
	}
	return dst, Told{p.rev, level}
}

// viewOf returns a category as a level sees it.
func (p *Person) viewOf(c *category, name string, level uint32) []byte {
	if v, ok := c.view[level]; ok {
		return v
	}
	var out []byte
	switch {
	case name == categories.StateName:
		if level == Default {
			break
		}
		a := p.of(level)
		instance := uint32(aggregateInstance)
		body := a.body
		if level == Blocked {
			instance = 0
		}
		if body == nil {
			body = stateBody(Result{Availability: Offline})
		}
		out = (&categories.Category{Key: categories.Key{Name: name, Instance: instance}, PublishTime: a.at, Body: body}).AppendFor(out)
	case name == "contactCard" && level != Blocked:
		card := p.card(level)
		out = card.AppendFor(out)
	}
	if name != categories.StateName {
		for _, k := range slices.Sorted(maps.Keys(c.pubs)) {
			if pub := c.pubs[k]; pub.Container == level && len(pub.Body) > 0 {
				out = pub.AppendFor(out)
			}
		}
	}
	c.view[level] = out
	return out
}

// card is the contact card the directory makes, as a level sees it ([MS-PRES]): who somebody is to everybody,
// his place in the company to partners, and how to reach him there to colleagues. The mobile number is for the team, the
// number at home for those who are closest.
func (p *Person) card(level uint32) categories.Category {
	c := &p.profile.Card
	b := append([]byte(nil), `<contactCard xmlns="http://schemas.microsoft.com/2006/09/sip/contactcard"><identity>`...)
	if p.profile.Name != "" {
		b = append(xmldoc.AppendElement(append(b, "<name>"...), "displayName", p.profile.Name), "</name>"...)
	}
	b = append(appendText(b, "email", p.profile.Email), "</identity>"...)
	colleague, team, friend := level == Company || level == Team || level == Personal, level == Team || level == Personal, level == Personal
	if colleague || level == External {
		b = appendText(b, "company", c.Company)
	}
	if colleague {
		b = appendText(b, "department", c.Department)
	}
	if colleague || level == External {
		b = appendText(b, "title", c.Title)
	}
	if colleague {
		b = appendText(b, "office", c.Office)
		rest := p.profile.Phones
		work := c.Work
		if work == "" && len(rest) > 0 {
			work = rest[0]
		}
		b = appendPhone(b, "work", work)
		for _, n := range rest[min(1, len(rest)):] {
			b = appendPhone(b, "other", n)
		}
	}
	if team {
		b = appendPhone(b, "mobile", c.Mobile)
	}
	if friend {
		b = appendPhone(appendPhone(b, "home", c.Home), "other", c.Other)
	}
	if colleague && c.Street+c.City+c.State+c.PostalCode+c.Country != "" {
		b = append(b, `<address type="work">`...)
		b = appendText(appendText(appendText(b, "street", c.Street), "city", c.City), "state", c.State)
		b = append(appendText(appendText(b, "zipcode", c.PostalCode), "countryCode", c.Country), "</address>"...)
	}
	if colleague && c.Photo != "" {
		b = appendText(append(b, `<photo type="enterprise">`...), "uri", c.Photo)
		b = append(appendText(b, "hash", c.PhotoHash), "</photo>"...)
	}
	b = append(b, "</contactCard>"...)
	return categories.Category{Key: categories.Key{Name: "contactCard", Container: Default}, Version: 1, ExpireType: categories.User, PublishTime: p.aggregate[0].at, Body: b}
}

func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return xmldoc.AppendElement(b, name, text)
}

// appendPhone adds a number. What is no number for a client to dial is only shown.
func appendPhone(b []byte, kind, n string) []byte {
	if n == "" {
		return b
	}
	b = append(xmldoc.AppendAttr(append(b, "<phone"...), "type", kind), '>')
	shown, dialled := strings.CutPrefix(n, "tel:")
	if dialled || strings.HasPrefix(n, "+") {
		b = xmldoc.AppendElement(b, "uri", tel(n))
	}
	return append(xmldoc.AppendElement(b, "displayString", shown), "</phone>"...)
}

func tel(n string) string {
	if len(n) > 4 && n[:4] == "tel:" {
		return n
	}
	return "tel:" + n
}

// properties are the owner's telephone lines.
func (p *Person) properties() categories.Category {
	b := append([]byte(nil), `<userProperties xmlns="`+categories.Namespace+`"><lines>`...)
	mode := "None"
	for _, n := range p.profile.Phones[:min(1, len(p.profile.Phones))] {
		b = append(b, `<line lineType="Uc">`...)
		b = append(xmldoc.AppendText(b, tel(n)), "</line>"...)
		mode = "Uc"
	}
	b = append(b, "</lines>"...)
	b = append(xmldoc.AppendElement(b, "telephonyMode", mode), "</userProperties>"...)
	return categories.Category{Key: categories.Key{Name: "userProperties", Container: Self}, Version: 1, ExpireType: categories.User, PublishTime: p.aggregate[0].at, Body: b}
}

// Own returns what the owner's endpoints do not know yet since a change, 0 for
// everything. Of a category that changed all publications are told, since
// clients forget what they knew of a category that a document names.
func (p *Person) Own(want roaming.Wanted, since uint64) (d roaming.Data, news bool) {
	d.URI = p.AOR.URI()
	if want.Categories {
		for _, name := range slices.Sorted(maps.Keys(p.names)) {
			if p.names[name].rev > since {
				d.Categories = append(d.Categories, p.OwnCategory(name)...)
			}
		}
	}
	if want.Containers {
		for _, id := range slices.Sorted(maps.Keys(p.containers)) {
			if c := p.containers[id]; c.rev > since || since == 0 {
				d.Containers = append(d.Containers, roaming.Container{ID: id, Version: c.version, Members: c.members})
			}
		}
	}
	if want.Subscribers {
		if s := p.subscriberList(since); len(s) > 0 || since == 0 {
			d.Subscribers = s
		}
	}
	return d, d.Categories != nil || d.Containers != nil || d.Subscribers != nil
}

// OwnCategory returns all publications of a category, the server's among them. When
// there are none, an empty one says so.
func (p *Person) OwnCategory(name string) []categories.Category {
	var out []categories.Category
	c := p.names[name]
	if c != nil {
		for _, k := range slices.Sorted(maps.Keys(c.pubs)) {
			out = append(out, c.pubs[k].Category)
		}
	}
	switch name {
	case categories.StateName:
		for _, level := range [...]uint32{Inputs, Inputs3, External, Company, Team, Personal} {
			a := p.of(level)
			out = append(out, categories.Category{Key: categories.Key{Name: name, Instance: aggregateInstance, Container: level}, Version: a.version,
				PublishTime: a.at, ExpireType: categories.User, Body: a.body})
		}
	case "contactCard":
		out = append(out, p.card(Personal))
	case "userProperties":
		out = append(out, p.properties())
	}
	if out == nil {
		out = append(out, categories.Category{Key: categories.Key{Name: name}, PublishTime: p.aggregate[0].at})
	}
	return out
}

// Note returns the text of the note a level sees, "" for none.
func (p *Person) Note(level uint32) string {
	c := p.names["note"]
	if c == nil || level == Blocked {
		return ""
	}
	var newest *Publication
	for _, pub := range c.pubs {
		if pub.Container == level && len(pub.Body) > 0 && (newest == nil || pub.PublishTime.After(newest.PublishTime)) {
			newest = pub
		}
	}
	if newest == nil {
		return ""
	}
	e, err := xmldoc.Parse(newest.Body, xmldoc.Limits{})
	if err != nil {
		return ""
	}
	return e.KidText("body")
}

// HasEndpoints reports whether an endpoint publishes the state of its machine.
func (p *Person) HasEndpoints() bool {
	for _, pub := range p.names[categories.StateName].pubs {
		if pub.State != nil && pub.State.Type == categories.MachineState {
			return true
		}
	}
	return false
}

// Stored reports whether there is a publication that outlasts endpoints.
func (p *Person) Stored(k categories.Key) bool {
	c := p.names[k.Name]
	if c == nil {
		return false
	}
	pub := c.pubs[id(k)]
	return pub != nil && (pub.ExpireType == categories.Static || pub.ExpireType == categories.Timed)
}
