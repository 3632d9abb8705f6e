package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4"

	"parley/internal/contract/binding"
	"parley/internal/sip"
	"parley/internal/sip/sigauth"
	"parley/internal/xmldoc/batchsub"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/contacts"
	"parley/internal/xmldoc/roaming"
	"parley/internal/xmldoc/soap"
	"parley/test/phone"
)

// lync is a Lync-protocol client. What it sends and in which order is what the open client does.
type lync struct {
	*phone.Phone
	g        *group
	i        int
	sa       *sigauth.Initiator
	versions map[categories.Key]uint32
	checked  int // messages received, of which some are checked
}

// checkEach is how many messages of the server are received for each whose signature is checked: the generator shares
// the machine with the server.
const checkEach = 16

func (c *lync) uri() string { return "sip:" + c.AOR() }

func (c *lync) epid() string { return fmt.Sprintf("%012x", c.i) }

func (c *lync) signIn(ctx context.Context) (err error) {
	c.Phone, err = phone.Dial(ctx, account(c.i), "tls", c.g.r.tls5061, c.g.r.tls)
	if err != nil {
		return err
	}
	c.versions, c.sa = map[categories.Key]uint32{}, nil
	contact := fmt.Sprintf(`<sip:%s;transport=tls>;methods="INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, CANCEL, NOTIFY, ACK, REFER, BENOTIFY";`+
		`proxy=replace;+sip.instance="<%s>"`, c.Local(), binding.InstanceOf(c.epid()))
	register := func() *phone.Message {
		return c.request("REGISTER", "sip:"+domain, phone.Header{Name: "Contact", Value: contact}, phone.Header{Name: "Event", Value: "registration"},
			phone.Header{Name: "Supported", Value: "gruu-10, adhoclist, msrtc-event-categories, com.microsoft.msrtc.presence"},
			phone.Header{Name: "Allow-Events", Value: "presence"}, phone.Header{Name: "ms-keep-alive", Value: "UAC;hop-hop=yes"})
	}
	var challenge string
	for _, data := range []string{"", `, gssapi-data=""`} {
		m := register()
		if data != "" {
			m.Headers = append(m.Headers, phone.Header{Name: "Authorization", Value: strings.Replace(challenge, "NTLM ", `NTLM qop="auth", `, 1) + data})
		}
		answer, err := c.Final(ctx, m)
		if err != nil {
			return err
		}
		challenge = ""
		for _, v := range answer.All("WWW-Authenticate") {
			if strings.HasPrefix(v, "NTLM ") {
				challenge = v
			}
		}
		if answer.Code() != 401 || challenge == "" {
			return fmt.Errorf("no NTLM challenge:\n%s", answer)
		}
	}
	if c.sa, err = sigauth.NewInitiator([]byte(challenge), c.AOR(), "", ntHash(password), time.Now(), rand.Reader); err != nil {
		return err
	}
	if _, err = c.ask(ctx, register()); err != nil {
		return err
	}
	if _, err = c.subscribe(ctx, contacts.EventPackage, contacts.MediaType, "", ""); err != nil {
		return err
	}
	if _, err = c.subscribe(ctx, "vnd-microsoft-provisioning-v2", "application/vnd-microsoft-roaming-provisioning-v2+xml",
		"application/vnd-microsoft-roaming-provisioning-v2+xml", `<provisioningGroupList xmlns="http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist">`+
			`<provisioningGroup name="ServerConfiguration"/><provisioningGroup name="presencePolicyV2"/></provisioningGroupList>`, phone.Header{Name: "Expires", Value: "0"}); err != nil {
		return err
	}
	self, err := c.subscribe(ctx, roaming.EventPackage, roaming.MediaType, roaming.MediaType, `<roamingList xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self">`+
		`<roaming type="categories"/><roaming type="containers"/><roaming type="subscribers"/></roamingList>`)
	if err != nil {
		return err
	}
	return c.learn(self.Body)
}

// fill puts the user's contacts on his list, without waiting for one answer before the next.
func (c *lync) fill(ctx context.Context) error {
	for k := range c.g.s.contacts {
		m := c.request("SERVICE", c.uri(), phone.Header{Name: "Content-Type", Value: "application/SOAP+xml"})
		m.Body = fmt.Sprintf(`<s:Envelope xmlns:s="%s" xmlns:m="%s"><s:Body><m:setContact><m:displayName></m:displayName><m:groups>1</m:groups>`+
			`<m:subscribed>true</m:subscribed><m:URI>sip:%s</m:URI><m:externalURI/><m:deltaNum>%d</m:deltaNum></m:setContact></s:Body></s:Envelope>`,
			soap.Envelope, soap.Namespace, account(c.g.contact(c.i, k)).AOR(), k+1)
		if err := c.send(m); err != nil {
			return err
		}
	}
	answered, told := 0, 0
	for answered < c.g.s.contacts || told < c.g.s.contacts {
		m, err := c.receive(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("%d of %d contacts are kept, %d told: %w", answered, c.g.s.contacts, told, err)
		case m.Method() == "BENOTIFY" && m.Get("Event") == contacts.EventPackage:
			told += strings.Count(m.Body, "<addedContact")
		case m.Code() == 200:
			answered++
		default:
			return fmt.Errorf("contact not kept:\n%s", m)
		}
	}
	return nil
}

// watch takes the contacts from the list that the server has.
func (c *lync) watch(ctx context.Context) error {
	m, err := c.subscribe(ctx, contacts.EventPackage, contacts.MediaType, "", "")
	if err != nil {
		return err
	}
	list, err := contacts.Parse([]byte(m.Body))
	if err != nil {
		return err
	}
	if len(list.Contacts) != c.g.s.contacts {
		return fmt.Errorf("%d contacts on the list", len(list.Contacts))
	}
	b := batchsub.Batch{URI: c.uri(), Action: batchsub.Subscribe, ID: "63792024", Categories: []string{"calendarData", "contactCard", "note", "state"}}
	for _, have := range list.Contacts {
		b.Resources = append(b.Resources, batchsub.Resource{URI: "sip:" + have.URI})
	}
	m, err = c.subscribe(ctx, "presence", "application/rlmi+xml, multipart/related, text/xml+msrtc.pidf, application/msrtc-event-categories+xml",
		batchsub.MediaType, string(b.Append(nil)), phone.Header{Name: "Require", Value: "adhoclist, categoryList"}, phone.Header{Name: "Supported", Value: "eventlist"})
	if err != nil {
		return err
	}
	if n := strings.Count(m.Body, "<categories "); n != len(list.Contacts) {
		return fmt.Errorf("%d of %d contacts in the first document", n, len(list.Contacts))
	}
	if err := c.send(c.publication(lyncActive, 3500, "")); err != nil {
		return err
	}
	if m, err = c.answer(ctx); err != nil {
		return err
	}
	if err := c.send(c.publication(lyncSet, 3500, "")); err != nil {
		return err
	}
	m, err = c.answer(ctx)
	return err
}

const (
	instanceUser    = 0x20000000
	instanceMachine = 0x30000000
)

// publication is what a client publishes when its user, or its user's idleness, changes.
func (c *lync) publication(kind string, availability int, token string) *phone.Message {
	st := categories.State{Type: categories.MachineState, Availability: availability}
	instance, expire := uint32(instanceMachine|c.i), categories.Endpoint
	if kind == lyncSet {
		st.Type, st.Manual, instance, expire = categories.UserState, true, instanceUser, categories.Static
	}
	if token != "" {
		st.Activity = &categories.Activity{Token: token}
	}
	var pubs []categories.Publication
	for _, container := range []uint32{2, 3} {
		k := categories.Key{Name: categories.StateName, Instance: instance, Container: container}
		pubs = append(pubs, categories.Publication{Key: k, Version: c.versions[k], ExpireType: expire, Body: st.Append(nil, "")})
		c.versions[k]++ // as it will be; the load counts what was refused
	}
	m := c.request("SERVICE", c.uri(), phone.Header{Name: "Content-Type", Value: categories.PublishType})
	m.Body = string(categories.AppendPublish(nil, c.uri(), pubs))
	return m
}

func (c *lync) publish(kind, token string) error { return c.send(c.publication(kind, 6500, token)) }

// learn takes the versions of the user's own publications.
func (c *lync) learn(body string) error {
	d, err := roaming.Parse([]byte(body))
	if err != nil {
		return err
	}
	for _, cat := range d.Categories {
		c.versions[cat.Key] = cat.Version
	}
	return nil
}

func (c *lync) request(method, to string, extra ...phone.Header) *phone.Message {
	m := c.Request(method, to, c.uri(), extra...)
	m.Set("From", fmt.Sprintf("<%s>;tag=%d;epid=%s", c.uri(), time.Now().UnixNano(), c.epid()))
	return m
}

func (c *lync) subscribe(ctx context.Context, event, accept, ctype, body string, extra ...phone.Header) (*phone.Message, error) {
	m := c.request("SUBSCRIBE", c.uri(), append([]phone.Header{{Name: "Event", Value: event}, {Name: "Accept", Value: accept}, {Name: "Contact", Value: "<" + c.Contact() + ">"},
		{Name: "Supported", Value: "com.microsoft.autoextend"}, {Name: "Supported", Value: "ms-benotify"}, {Name: "Proxy-Require", Value: "ms-benotify"},
		{Name: "Supported", Value: "ms-piggyback-first-notify"}}, extra...)...)
	if body != "" {
		m.Headers, m.Body = append(m.Headers, phone.Header{Name: "Content-Type", Value: ctype}), body
	}
	return c.ask(ctx, m)
}

// sign adds the signature.
func (c *lync) sign(m *phone.Message) error {
	var p sip.Message
	if err := p.Parse([]byte(m.String()), nil); err != nil {
		return err
	}
	m.Headers = append(m.Headers, phone.Header{Name: "Authorization", Value: c.sa.Authorize(&p)})
	return nil
}

func (c *lync) send(m *phone.Message) error {
	if err := c.sign(m); err != nil {
		return err
	}
	return c.Send(m)
}

// ask sends a signed request and returns its answer, which must be 200.
func (c *lync) ask(ctx context.Context, m *phone.Message) (*phone.Message, error) {
	if err := c.send(m); err != nil {
		return nil, err
	}
	return c.answer(ctx)
}

// answer waits for the answer to the only request that is under way.
func (c *lync) answer(ctx context.Context) (*phone.Message, error) {
	for {
		m, err := c.receive(ctx)
		switch {
		case err != nil:
			return nil, err
		case m.Code() == 200:
			return m, nil
		case m.Code() >= 200:
			return nil, fmt.Errorf("refused:\n%s", m)
		}
	}
}

func (c *lync) receive(ctx context.Context) (*phone.Message, error) {
	m, err := c.Receive(ctx)
	if err != nil {
		return nil, err
	}
	if m.Get("Authentication-Info") == "" {
		return nil, errors.New("not signed:\n" + m.String())
	}
	if c.checked++; c.checked%checkEach == 1 {
		var p sip.Message
		if err := p.Parse([]byte(m.String()), nil); err != nil {
			return nil, err
		}
		if err := c.sa.Check(&p); err != nil {
			return nil, fmt.Errorf("%w:\n%s", err, m)
		}
	}
	return m, nil
}

func (c *lync) close() {
	if c.Phone != nil {
		c.Phone.Close()
	}
}

func ntHash(password string) []byte {
	h := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		h.Write(binary.LittleEndian.AppendUint16(nil, u))
	}
	return h.Sum(nil)
}
