package person

import (
	"strings"
	"testing"
	"time"

	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func st(kind string, availability int, after int, token string) Instance {
	s := &categories.State{Type: kind, Availability: availability, Manual: kind == categories.UserState}
	if token != "" {
		s.Activity = &categories.Activity{Token: token}
	}
	return Instance{s, t0.Add(time.Duration(after) * time.Minute)}
}

func TestAggregate(t *testing.T) {
	const m, u, c, p, f = categories.MachineState, categories.UserState, categories.CalendarState, categories.PhoneState, categories.ConferenceState
	away := func(kind string, token string, min, max int) Instance {
		s := st(kind, Busy, 2, token)
		s.State.Activity.Min, s.State.Activity.Max = min, max
		return s
	}
	later := st(c, Busy, 0, "in-a-meeting")
	later.State.StartTime = "2026-01-02T04:00:00Z"
	for name, row := range map[string]struct {
		in    []Instance
		want  int
		token string
		idle  bool
	}{
		"nothing":                        {nil, Offline, "", false},
		"no machine":                     {[]Instance{st(u, Available, 0, "")}, Offline, "", false},
		"machine off":                    {[]Instance{st(m, Offline, 0, "")}, Offline, "", false},
		"machine":                        {[]Instance{st(m, Available, 0, "")}, Available, "", false},
		"most active machine":            {[]Instance{st(m, Away, 2, ""), st(m, Available, 0, "")}, Available, "", false},
		"idle":                           {[]Instance{st(m, AvailableIdle, 0, "")}, AvailableIdle, "", true},
		"away":                           {[]Instance{st(m, Away, 0, "")}, Away, "", true},
		"busy by hand":                   {[]Instance{st(m, Available, 0, ""), st(u, Busy, 0, "")}, Busy, "", false},
		"busy by hand, idle":             {[]Instance{st(m, AvailableIdle, 0, ""), st(u, Busy, 0, "")}, BusyIdle, "", true},
		"busy by hand, away":             {[]Instance{st(m, Away, 0, ""), st(u, Busy, 0, "")}, Away, "", true},
		"do not disturb, away":           {[]Instance{st(m, Away, 0, ""), st(u, DoNotDisturb, 0, "")}, DoNotDisturb, "", false},
		"invisible":                      {[]Instance{st(m, Available, 0, ""), st(u, Offline, 0, ""), st(p, Busy, 1, "")}, Offline, "", false},
		"back soon beats a call":         {[]Instance{st(m, Available, 0, ""), st(u, RightBack, 0, ""), st(p, Busy, 1, "on-the-phone")}, RightBack, "", true},
		"on the phone":                   {[]Instance{st(m, Available, 0, ""), st(u, Available, 0, ""), st(p, Busy, 1, "on-the-phone")}, Busy, "on-the-phone", false},
		"call beats appointment":         {[]Instance{st(m, Available, 0, ""), st(c, Busy, 2, "in-a-meeting"), st(p, Busy, 1, "on-the-phone")}, Busy, "on-the-phone", false},
		"later call":                     {[]Instance{st(m, Available, 0, ""), st(f, Busy, 2, "in-a-conference"), st(p, Busy, 1, "on-the-phone")}, Busy, "in-a-conference", false},
		"presenting":                     {[]Instance{st(m, Available, 0, ""), st(p, 9000, 1, "in-presentation"), st(u, Busy, 3, "")}, 9000, "in-presentation", false},
		"available ends an appointment":  {[]Instance{st(m, Available, 0, ""), st(c, Busy, 1, "in-a-meeting"), st(u, Available, 2, "")}, Available, "", false},
		"available ends no call":         {[]Instance{st(m, Available, 0, ""), st(p, Busy, 1, "on-the-phone"), st(u, Available, 2, "")}, Busy, "on-the-phone", false},
		"appointment to come":            {[]Instance{st(m, Available, 0, ""), later}, Available, "", false},
		"activity outside its window":    {[]Instance{st(m, Away, 0, ""), away(p, "on-the-phone", 6000, 8999)}, Away, "", true},
		"activity inside its window":     {[]Instance{st(m, AvailableIdle, 0, ""), away(p, "on-the-phone", 6000, 8999)}, BusyIdle, "on-the-phone", true},
		"phone that knows it is talking": {[]Instance{st(m, Busy, 0, "on-the-phone")}, Busy, "on-the-phone", false},
	} {
		r := Aggregate(row.in, t0)
		token := ""
		if r.Activity != nil {
			token = r.Activity.Token
		}
		if r.Availability != row.want || token != row.token || !r.LastActive.IsZero() != row.idle {
			t.Errorf("%s: %+v, want %d %q idle %t", name, r, row.want, row.token, row.idle)
		}
	}
}

func pub(t *testing.T, name string, instance, container, version uint32, expire categories.ExpireType, body string) categories.Publication {
	t.Helper()
	p := categories.Publication{Key: categories.Key{Name: name, Instance: instance, Container: container}, Version: version, ExpireType: expire, Body: []byte(body)}
	_, all, err := categories.ParsePublish(categories.AppendPublish(nil, "sip:alice@example.test", []categories.Publication{p}))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		all[0].Delete = true
	}
	return all[0]
}

func machine(t *testing.T, container, version uint32, availability string) categories.Publication {
	return pub(t, "state", 0x30000001, container, version, categories.Endpoint,
		`<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="machineState"><availability>`+availability+`</availability><endpointLocation/></state>`)
}

func publish(t *testing.T, p *Person, pubs ...categories.Publication) Changed {
	t.Helper()
	plan, conflicts, err := p.Plan(pubs, "e1", t0)
	if err != nil || conflicts != nil {
		t.Fatalf("%v %v", err, conflicts)
	}
	return p.Apply(plan, t0)
}

func view(p *Person, level uint32, told *Told, names ...string) string {
	b, now := p.View(nil, names, level, *told)
	*told = now
	return string(b)
}

func TestPublish(t *testing.T) {
	p := New("alice@example.test", Profile{Name: "Alice", Email: "alice@example.test", Phones: []string{"+15550100"}}, t0)
	var bob Told
	first := view(p, Company, &bob, "state", "note", "contactCard", "device")
	if !strings.Contains(first, "<availability>18500</availability>") || !strings.Contains(first, "<displayName>Alice</displayName>") ||
		!strings.Contains(first, "<uri>tel:+15550100</uri>") || strings.Contains(first, `name="note"`) {
		t.Fatalf("first view %s", first)
	}
	ch := publish(t, p, machine(t, 2, 0, "3500"), machine(t, 3, 0, "3500"), pub(t, "device", 1, 2, 0, categories.Endpoint, "<device/>"))
	if !ch.Watchers || !p.Available() {
		t.Fatalf("after sign-in %+v", ch)
	}
	if got := view(p, Company, &bob, "state", "note", "contactCard", "device"); strings.Count(got, "<category ") != 1 ||
		!strings.Contains(got, `xsi:type="aggregateState"`) || !strings.Contains(got, "<availability>3500</availability>") {
		t.Errorf("online: %s", got)
	}
	// What only endpoints see is no news for watchers.
	if ch := publish(t, p, pub(t, "device", 1, 2, 1, categories.Endpoint, "<device/>"), machine(t, 2, 1, "3500")); ch.Watchers || !ch.Owner {
		t.Errorf("device: %+v", ch)
	}
	if got := view(p, Company, &bob, "state", "note"); got != "" {
		t.Errorf("nothing new: %s", got)
	}
	publish(t, p, pub(t, "note", 0, 200, 0, categories.Static, "<note>hello</note>"))
	if got := view(p, Company, &bob, "state", "note"); !strings.Contains(got, "hello") || strings.Count(got, "<category ") != 1 {
		t.Errorf("note: %s", got)
	}
	publish(t, p, pub(t, "note", 0, 200, 1, "", ""))
	if got := view(p, Company, &bob, "state", "note"); got != `<category name="note" instance="0" publishTime="2026-01-02T03:04:05.000Z"/>` {
		t.Errorf("deleted note: %s", got)
	}
	if got := p.OwnCategory("note"); len(got) != 1 || strings.Contains(string(got[0].Append(nil)), "container") {
		t.Errorf("deleted note to the owner: %s", got[0].Append(nil))
	}
	// The endpoint goes.
	if ch := p.EndpointsGone(func(string) bool { return false }, false, t0); !ch.Watchers || p.Available() {
		t.Errorf("signed out: %+v", ch)
	}
	if got := view(p, Company, &bob, "state"); !strings.Contains(got, "18500") {
		t.Errorf("offline: %s", got)
	}
}

// A client that hears no curVersion, or does not find its publication among those
// listed, publishes for ever.
func TestConflict(t *testing.T) {
	p := New("alice@example.test", Profile{}, t0)
	publish(t, p, machine(t, 2, 0, "3500"))
	_, conflicts, err := p.Plan([]categories.Publication{pub(t, "note", 0, 200, 0, categories.Static, "<note/>"), machine(t, 2, 0, "3500")}, "e2", t0)
	if err != nil || len(conflicts) != 1 || conflicts[0] != (categories.Conflict{Index: 2, Version: 0, Current: 1}) {
		t.Fatalf("%v %+v", err, conflicts)
	}
	d, _ := p.Own(roaming.Wanted{Categories: true, Containers: true, Subscribers: true}, 0)
	listed := false
	for _, c := range d.Categories {
		listed = listed || c.Instance == 0x30000001 && c.Container == 2 && c.Version == 1
	}
	if !listed || len(d.Containers) != 2 || d.Subscribers == nil {
		t.Errorf("own data %+v", d)
	}
	if _, _, err := p.Plan([]categories.Publication{pub(t, "userProperties", 0, 1, 0, categories.Static, "<x/>")}, "e", t0); err != ErrServersOwn {
		t.Errorf("the server's own: %v", err)
	}
	if _, conflicts, _ := p.Plan([]categories.Publication{pub(t, "note", 0, 200, 7, categories.Static, "<note/>")}, "e", t0); len(conflicts) != 1 || conflicts[0].Current != 0 {
		t.Errorf("unknown: %+v", conflicts)
	}
}

func TestTimed(t *testing.T) {
	p := New("alice@example.test", Profile{}, t0)
	n := pub(t, "note", 0, 200, 0, categories.Timed, "<note/>")
	n.Expires = 60
	publish(t, p, n)
	if !p.Next().Equal(t0.Add(time.Minute)) {
		t.Errorf("next %v", p.Next())
	}
	if ch := p.Expire(t0.Add(59 * time.Second)); ch.Owner {
		t.Error("too early")
	}
	if ch := p.Expire(t0.Add(time.Minute)); !ch.Owner || !ch.Watchers || !p.Next().IsZero() {
		t.Errorf("expired: %+v", ch)
	}
}

func TestLevels(t *testing.T) {
	p := New("alice@example.test", Profile{Name: "Alice"}, t0)
	bob, stranger := Watcher{"bob@example.test", true}, Watcher{"x@example.org", false}
	want := func(name string, w Watcher, level uint32) {
		t.Helper()
		if got := p.Level(w); got != level {
			t.Errorf("%s: level %d, want %d", name, got, level)
		}
	}
	set := func(id, version uint32, add bool, typ roaming.MemberType, value string) {
		t.Helper()
		plan, conflicts, err := p.PlanMembers([]roaming.ContainerChange{{ID: id, Version: version, Members: []roaming.MemberChange{{Member: roaming.Member{Type: typ, Value: value}, Add: add}}}})
		if err != nil || conflicts != nil {
			t.Fatalf("%v %v", err, conflicts)
		}
		p.ApplyMembers(plan)
	}
	want("colleague", bob, Company)
	want("partner", stranger, External)
	set(Team, 0, true, roaming.Domain, "example.test")
	want("domain", bob, Team)
	set(Personal, 0, true, roaming.User, "sip:Bob@example.test")
	want("user", bob, Personal)
	publish(t, p, machine(t, 2, 0, "3500"), machine(t, 3, 0, "3500"))
	told := Told{}
	view(p, Personal, &told, "state")
	set(Blocked, 0, true, roaming.User, "bob@example.test")
	want("blocked", bob, Blocked)
	if got := view(p, p.Level(bob), &told, "state", "contactCard"); !strings.Contains(got, "18500") || strings.Contains(got, "Alice") {
		t.Errorf("blocked sees %s", got)
	}
	if _, conflicts, _ := p.PlanMembers([]roaming.ContainerChange{{ID: Blocked, Version: 0}}); len(conflicts) != 1 || conflicts[0].Current != 1 {
		t.Errorf("stale: %+v", conflicts)
	}
	set(Blocked, 1, false, roaming.User, "bob@example.test")
	if got := view(p, p.Level(bob), &told, "state", "contactCard"); !strings.Contains(got, "3500") || !strings.Contains(got, "Alice") {
		t.Errorf("no longer blocked sees %s", got)
	}
}

// A subscriber who was acknowledged is not told as unacknowledged again: the
// client would acknowledge for ever.
func TestSubscribers(t *testing.T) {
	p := New("alice@example.test", Profile{}, t0)
	want := roaming.Wanted{Subscribers: true}
	if !p.Subscribed("bob@example.test", "Bob", 1) || p.Subscribed("bob@example.test", "Bob", 9) || p.Subscribed("carol@example.test", "", 1) || p.Subscribed("alice@example.test", "", 9) {
		t.Error("subscribed")
	}
	d, _ := p.Own(want, 0)
	if len(d.Subscribers) != 1 || d.Subscribers[0].Acknowledged {
		t.Fatalf("%+v", d.Subscribers)
	}
	at := p.Rev()
	if got := p.Acknowledge([]string{"sip:bob@example.test", "mallory@example.test"}); len(got) != 1 {
		t.Errorf("acknowledged %q", got)
	}
	if d, news := p.Own(want, at); !news || len(d.Subscribers) != 1 || !d.Subscribers[0].Acknowledged {
		t.Errorf("news %+v", d)
	}
	if p.Subscribed("bob@example.test", "Bob", 9) || len(p.Acknowledge([]string{"bob@example.test"})) != 0 {
		t.Error("again")
	}
	if d, _ := p.Own(want, 0); len(d.Subscribers) != 0 {
		t.Errorf("whole list %+v", d.Subscribers)
	}
}

func TestDevices(t *testing.T) {
	p := New("alice@example.test", Profile{}, t0)
	if !p.SetSignedIn(true, t0) || !p.Available() {
		t.Error("a phone that is signed in is not seen")
	}
	if !p.SetDevices([]Instance{st(categories.MachineState, Busy, 0, "on-the-phone")}, t0) || p.State(Company).Availability != Busy {
		t.Errorf("phone: %+v", p.State(Company))
	}
	publish(t, p, machine(t, 2, 0, "15500"))
	if p.State(Company).Availability != Busy || p.State(Blocked).Availability != Offline {
		t.Errorf("phone and client: %+v", p.State(Company))
	}
}

// Who sees more of the business card is closer.
func TestContactCard(t *testing.T) {
	p := New("alice@example.test", Profile{Name: "Alice", Email: "a@mail.test", Phones: []string{"tel:+15550100", "tel:+15550101"}}, t0)
	if !p.SetProfile(Profile{Name: "Alice", Email: "a@mail.test", Phones: []string{"tel:+15550100", "tel:+15550101"}, Card: Card{
		Title: "Engineer", Department: "R&D", Company: "Example", Office: "12", Mobile: "tel:+15550177", Home: "ask", City: "Nelson", Country: "NZ",
		Photo: "https://web.example.test/abs/handler/x", PhotoHash: "AB12"}}) {
		t.Fatal("a new card is no change")
	}
	for level, want := range map[uint32]string{
		Default:  "",
		External: "company title",
		Company:  "company department title office work other address photo",
		Team:     "company department title office work other mobile address photo",
		Personal: "company department title office work other mobile home address photo",
	} {
		var told Told
		doc := "<x>" + view(p, level, &told, "contactCard") + "</x>"
		e, err := xmldoc.Parse([]byte(doc), xmldoc.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		card := e.Kid("category").Kid("contactCard")
		if card.Kid("identity").KidText("email") != "a@mail.test" {
			t.Errorf("level %d does not see who it is: %s", level, doc)
		}
		var got []string
		for k := range card.Kids {
			switch k.Name.Local {
			case "identity":
			case "phone":
				got = append(got, k.Attr("type"))
			default:
				got = append(got, k.Name.Local)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %d sees %s, want %s", level, got, want)
		}
		if level == Personal && (!strings.Contains(doc, "<phone type=\"home\"><displayString>ask<") || !strings.Contains(doc, "<uri>tel:+15550100</uri><displayString>+15550100<") ||
			!strings.Contains(doc, "<hash>AB12</hash>")) {
			t.Errorf("card %s", doc)
		}
	}
	var blocked Told
	if got := view(p, Blocked, &blocked, "contactCard"); strings.Contains(got, "Alice") {
		t.Errorf("blocked, and sees %s", got)
	}
}
