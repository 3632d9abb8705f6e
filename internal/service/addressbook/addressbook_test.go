package addressbook_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/directory"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/addressbook"
	"parley/internal/service/adminapi"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/abquery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, addressbook.Spec) }

// client is a client of the web site of a node.
type client struct {
	t    *testing.T
	n    *nodetest.Node
	http *http.Client
}

func start(t *testing.T) *client {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{addressbook.Spec, web.Spec}})
	n.AddUsers("alice", "bob", "carol")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t, n, &http.Client{Transport: tr}}
}

type header struct{ name, value string }

// do sends a request, to the site in clear when the path begins with "http:".
func (c *client) do(method, path, body string, headers ...header) (*http.Response, string) {
	c.t.Helper()
	url := "https://" + c.n.Addr(porttable.SrvFeWebcompat443).String() + path
	if rest, ok := strings.CutPrefix(path, "http:"); ok {
		url = "http://" + c.n.Addr(porttable.SrvFeWebcompat80).String() + rest
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range headers {
		r.Header.Set(h.name, h.value)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(b)
}

func basic(user string) header {
	return header{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+"@"+nodetest.Domain+":"+nodetest.Password))}
}

// ticket gets a web ticket of a user for a service.
func (c *client) ticket(user, path string) string {
	c.t.Helper()
	resp, b := c.do("POST", "/WebTicket/WebTicketService.svc", `<s:Envelope xmlns:s="urn:s"><s:Body><RequestSecurityToken><AppliesTo><EndpointReference><Address>https://x`+path+
		`</Address></EndpointReference></AppliesTo></RequestSecurityToken></s:Body></s:Envelope>`, basic(user))
	_, b, _ = strings.Cut(b, "<RequestedSecurityToken>")
	assertion, _, ok := strings.Cut(b, "</RequestedSecurityToken>")
	if resp.StatusCode != 200 || !ok {
		c.t.Fatalf("ticket: %s", resp.Status)
	}
	return assertion
}

func bearer(assertion string) header {
	return header{"X-MS-WebTicket", "opaque=" + base64.StdEncoding.EncodeToString([]byte(assertion))}
}

func envelope(assertion, body string) string {
	return `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="urn:w"><soap:Header><wsse:Security>` + assertion +
		`</wsse:Security></soap:Header> <soap:Body>` + body + `</soap:Body></soap:Envelope>`
}

// find sends a query and returns what was found: entries of "name=value" in the order of the answer.
func (c *client) find(assertion string, q *abquery.Query) [][]string {
	c.t.Helper()
	resp, b := c.do("POST", addressbook.BearerPath, envelope(assertion, string(q.Append(nil))))
	e, err := xmldoc.Parse([]byte(b), xmldoc.Limits{})
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/xml; charset=utf-8" {
		c.t.Fatalf("%s %v\n%s", resp.Status, err, b)
	}
	out := [][]string{}
	items := webticket.Path(e, "Body", "SearchAbEntryResponse", "SearchAbEntryResult", "Items")
	for ab := range items.Kids {
		var one []string
		for a := range ab.Kid("Attributes").Kids {
			value := a.KidText("Value")
			if v := a.Kid("Values"); v != nil {
				value = v.KidText("string")
			}
			one = append(one, a.KidText("Name")+"="+value)
		}
		out = append(out, one)
	}
	return out
}

// first are the first attributes of what was found.
func first(found [][]string) string {
	var all []string
	for _, e := range found {
		_, v, _ := strings.Cut(e[0], "=")
		all = append(all, v)
	}
	return strings.Join(all, " ")
}

func (c *client) admin(method, path string, in any) {
	c.t.Helper()
	if _, err := c.n.Client().Do(c.t.Context(), method, path, "*", in, nil); err != nil {
		c.t.Fatal(err)
	}
}

func TestSearch(t *testing.T) {
	c := start(t)
	name, phones := "Alice Adams", []string{"tel:+15550100"}
	c.admin("PATCH", "/users/alice@example.test", adminapi.UserChange{Name: &name, Phones: &phones, Profile: map[string]string{"company": "Example", "c": "NZ", "homePhone": "+1 555 0199", "title": "Engineer"}})
	bobs := "Bob Adams"
	c.admin("PATCH", "/users/bob@example.test", adminapi.UserChange{Name: &bobs, Profile: map[string]string{"company": "Other"}})
	team := "Adams family"
	c.admin("PUT", "/groups/family@example.test", adminapi.GroupChange{Name: &team, Members: &[]string{"alice@example.test", "bob@example.test"}})
	ticket := c.ticket("carol", addressbook.BearerPath)
	uri := []string{"msRTCSIP-PrimaryUserAddress"}
	rows := func(text ...string) (all []abquery.Row) {
		for _, t := range text {
			on, value, _ := strings.Cut(t, "=")
			all = append(all, abquery.Row{Attribute: on, Value: value})
		}
		return all
	}
	everything := []string{"c", "company", "displayName", "givenName", "mail", "mailNickname", "msRTCSIP-PrimaryUserAddress", "sn"}
	for _, row := range []struct {
		q    abquery.Query
		want string
	}{
		{abquery.Query{Rows: rows("sn=adams")}, "sip:alice@example.test sip:bob@example.test"},
		{abquery.Query{Rows: rows("sn=Adams", "company=exam")}, "sip:alice@example.test"},
		{abquery.Query{Rows: rows("sn=adams"), Max: 1}, "sip:alice@example.test"},
		{abquery.Query{Rows: rows("msRTCSIP-PrimaryUserAddress=bob")}, "sip:bob@example.test"},
		{abquery.Query{Rows: rows("msRTCSIP-PrimaryUserAddress=sip:bob@example.test"), Max: 1}, "sip:bob@example.test"},
		{abquery.Query{Rows: rows("sn=x")}, ""},
		{abquery.Query{Rows: rows("sn= ")}, ""},
		{abquery.Query{Rows: rows("shoeSize=9")}, ""},
		{abquery.Query{Basic: &abquery.Basic{Attributes: everything, Value: "nz"}}, "sip:alice@example.test"},
		{abquery.Query{Basic: &abquery.Basic{Attributes: everything, Value: "other"}}, "sip:bob@example.test"},
		{abquery.Query{Basic: &abquery.Basic{Attributes: []string{"displayName"}, Value: "23267"}, DialPad: true}, "sip:alice@example.test sip:bob@example.test"},
	} {
		row.q.Return = uri
		if got := first(c.find(ticket, &row.q)); got != row.want {
			t.Errorf("%+v: %q, want %q", row.q, got, row.want)
		}
	}
	got := c.find(ticket, &abquery.Query{Basic: &abquery.Basic{Attributes: []string{"displayName"}, Value: "adams"}, Return: []string{"displayName", "mail", "DISPLAYNAME", "groupType", "homePhone", "nothing"}})
	want := [][]string{{"displayName=Alice Adams", "mail=alice@example.test", "homePhone=tel:+15550199"}, {"displayName=Bob Adams", "mail=bob@example.test"},
		{"displayName=Adams family", "mail=family@example.test", "groupType=8"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q", got)
	}
	got = c.find(ticket, &abquery.Query{Rows: rows("mail=alice")})
	if len(got) != 1 || !slices.Contains(got[0], "telephoneNumber=tel:+15550100") || !slices.Contains(got[0], "title=Engineer") {
		t.Errorf("the usual attributes are %q", got)
	}
	off := false
	c.admin("PATCH", "/users/alice@example.test", adminapi.UserChange{Enabled: &off})
	if got := c.find(ticket, &abquery.Query{Rows: rows("sn=adams"), Return: uri}); len(got) != 1 {
		t.Errorf("a disabled user is found: %q", got)
	}
	// With a password instead of a ticket.
	resp, b := c.do("POST", addressbook.QueryPath, string(envelope("", string((&abquery.Query{Rows: rows("sn=adams")}).Append(nil)))), basic("carol"))
	if resp.StatusCode != 200 || !strings.Contains(b, "sip:bob@example.test") {
		t.Errorf("%s\n%s", resp.Status, b)
	}
}

func TestSearchesThatAreRefused(t *testing.T) {
	c := start(t)
	query := string((&abquery.Query{Rows: []abquery.Row{{Attribute: "sn", Value: "a"}}}).Append(nil))
	ticket := c.ticket("carol", addressbook.BearerPath)
	for name, row := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"no ticket":          {addressbook.BearerPath, envelope("", query), 500, "28020"},
		"no ticket, no user": {addressbook.QueryPath, envelope("", query), 401, ""},
		"other service":      {addressbook.BearerPath, envelope(c.ticket("carol", "/certprov/x"), query), 500, "28032"},
		"forged":             {addressbook.BearerPath, envelope(strings.Replace(ticket, "SamlSecurityToken-", "SamlSecurityToken-0", 1), query), 500, "28032"},
		"of another pool": {addressbook.BearerPath, envelope(string(webticket.New([]byte("x"), "x").Assertion(&webticket.Ticket{AOR: "carol@example.test",
			Audience: "/groupexpansion/service.svc"})), query), 500, "28032"},
		"no XML":          {addressbook.BearerPath, "<x", 500, "28000"},
		"entities":        {addressbook.BearerPath, `<!DOCTYPE a [<!ENTITY b "c">]>` + envelope(ticket, query), 500, "28000"},
		"empty":           {addressbook.BearerPath, envelope(ticket, ""), 500, "28000"},
		"expansion":       {addressbook.BearerPath, envelope(ticket, "<ExpandX/>"), 500, "does not have the operation"},
		"no query":        {addressbook.BearerPath, envelope(ticket, "<SearchAbEntry/>"), 500, "28000"},
		"too large":       {addressbook.BearerPath, envelope(ticket, strings.Repeat(" ", 64<<10)), 413, ""},
		"in clear":        {"http:" + addressbook.BearerPath, envelope(ticket, query), 403, ""},
		"a bearer header": {addressbook.BearerPath, "", 500, "28000"},
	} {
		resp, b := c.do("POST", row.path, row.body, bearer(ticket))
		if name == "no ticket, no user" {
			resp, b = c.do("POST", row.path, row.body)
			if resp.Header.Get("WWW-Authenticate") == "" || !strings.HasSuffix(resp.Header.Get("X-MS-WebTicketURL"), "/WebTicket/WebTicketService.svc") {
				t.Errorf("%s: %v", name, resp.Header)
			}
		}
		if resp.StatusCode != row.code || !strings.Contains(b, row.want) {
			t.Errorf("%s: %s\n%s", name, resp.Status, b)
		}
	}
	if resp, _ := c.do("GET", addressbook.BearerPath, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %s", resp.Status)
	}
	off := false
	c.admin("PATCH", "/users/carol@example.test", adminapi.UserChange{Enabled: &off})
	if resp, b := c.do("POST", addressbook.BearerPath, envelope(ticket, query)); resp.StatusCode != 500 || !strings.Contains(b, "disabled") {
		t.Errorf("disabled meanwhile: %s\n%s", resp.Status, b)
	}
}

// A client finds the port for its ticket in the metadata.
func TestMetadata(t *testing.T) {
	c := start(t)
	resp, b := c.do("GET", addressbook.QueryPath+"/mex", "")
	e, err := xmldoc.Parse([]byte(b), xmldoc.Limits{})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, err)
	}
	port := webticket.Path(e, "service", "port")
	if port.Attr("name") != "AddressBookWebTicketBearer" || !strings.HasSuffix(port.Kid("address").Attr("location"), addressbook.BearerPath) {
		t.Errorf("port in\n%s", b)
	}
	policy := e.Kid("Policy")
	issuer := webticket.Path(policy, "ExactlyOne", "All", "SignedSupportingTokens", "Policy", "IssuedToken", "Issuer", "Address")
	if policy.AttrFold("Id") != "AddressBookWebTicketBearer_policy" || issuer == nil || !strings.HasSuffix(issuer.Text(), "/WebTicket/WebTicketService.svc") {
		t.Errorf("policy in\n%s", b)
	}
}

func TestPhotos(t *testing.T) {
	c := start(t)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 16, 16))); err != nil {
		t.Fatal(err)
	}
	photo := picture.Bytes()
	c.admin("PATCH", "/users/alice@example.test", adminapi.UserChange{Photo: &photo})
	ticket := c.ticket("bob", addressbook.BearerPath)
	got := c.find(ticket, &abquery.Query{Rows: []abquery.Row{{Attribute: "mail", Value: "alice"}}, Return: []string{"photoRelPath", "photoSize", "photoHash"}})
	if len(got) != 1 || len(got[0]) != 3 {
		t.Fatalf("found %q", got)
	}
	_, name, _ := strings.Cut(got[0][0], "=")
	path := addressbook.FilesPath + "/" + name
	for what, headers := range map[string][]header{"ticket": {bearer(ticket)}, "nothing": nil, "password": {basic("bob")}} {
		resp, b := c.do("GET", path, "", headers...)
		if resp.StatusCode != 200 || b != picture.String() || resp.Header.Get("Content-Type") != "image/png" || resp.ContentLength != int64(len(photo)) {
			t.Errorf("with %s: %s %q", what, resp.Status, resp.Header)
		}
		if resp, _ := c.do("GET", path, "", append(headers, header{"If-None-Match", resp.Header.Get("ETag")})...); resp.StatusCode != 304 {
			t.Errorf("with %s again: %s", what, resp.Status)
		}
	}
	id, _, _ := strings.Cut(name, ".")
	old := addressbook.FilesPath + "/" + id + ".00"
	for what, row := range map[string]struct {
		path    string
		headers []header
		code    int
	}{
		"guessed":             {old, nil, 401},
		"old name":            {old, []header{bearer(ticket)}, 200},
		"ticket of the files": {old, []header{bearer(c.ticket("bob", addressbook.FilesPath))}, 200},
		"foreign ticket":      {old, []header{bearer(c.ticket("bob", "/certprov/x"))}, 401},
		"bad ticket":          {old, []header{{"X-MS-WebTicket", "opaque=???"}}, 401},
		"wrong password":      {old, []header{{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("bob@example.test:x"))}}, 401},
		"full file, nobody":   {addressbook.FilesPath + "/F-0A8C.lsabs", nil, 401},
		"full file":           {addressbook.FilesPath + "/F-0A8C.lsabs", []header{bearer(ticket)}, 404},
		"delta":               {addressbook.FilesPath + "/D-0A8C-0A8D.lsabs", []header{basic("bob")}, 404},
		"device file":         {addressbook.FilesPath + "/F-0A8C.dabs", []header{bearer(ticket)}, 404},
		"the folder":          {addressbook.FilesPath, []header{bearer(ticket)}, 404},
		"in clear":            {"http:" + path, nil, 403},
	} {
		if resp, _ := c.do("GET", row.path, "", row.headers...); resp.StatusCode != row.code {
			t.Errorf("%s: %s, want %d", what, resp.Status, row.code)
		}
	}
	if resp, _ := c.do("PUT", path, "x", bearer(ticket)); resp.StatusCode != 405 {
		t.Errorf("PUT: %s", resp.Status)
	}
	none := []byte{}
	c.admin("PATCH", "/users/alice@example.test", adminapi.UserChange{Photo: &none})
	if resp, _ := c.do("GET", path, ""); resp.StatusCode != 401 {
		t.Errorf("a photo that is gone: %s", resp.Status)
	}
}

func TestMembers(t *testing.T) {
	c := start(t)
	c.admin("PUT", "/groups/some@example.test", adminapi.GroupChange{Members: &[]string{"bob@example.test"}})
	c.admin("PUT", "/groups/all@example.test", adminapi.GroupChange{Members: &[]string{"some@example.test", "alice@example.test"}})
	resp, b := c.do("GET", addressbook.MembersPath+"All@example.test", "", bearer(c.ticket("carol", addressbook.QueryPath)))
	var m addressbook.Members
	if err := json.Unmarshal([]byte(b), &m); err != nil || resp.StatusCode != 200 || len(m.Users) != 2 || m.Users[0].URI != "sip:alice@example.test" || m.Users[1].URI != "sip:bob@example.test" || m.More {
		t.Errorf("%s %v\n%s", resp.Status, err, b)
	}
	for path, code := range map[string]int{"x@example.test": 404, "x": 400, "": 400} {
		if resp, _ := c.do("GET", addressbook.MembersPath+path, "", basic("carol")); resp.StatusCode != code {
			t.Errorf("%q: %s, want %d", path, resp.Status, code)
		}
	}
	if resp, _ := c.do("GET", addressbook.MembersPath+"all@example.test", ""); resp.StatusCode != 401 {
		t.Errorf("nobody: %s", resp.Status)
	}
}

func TestSettings(t *testing.T) {
	s, err := addressbook.New(service.Host{})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []addressbook.Settings{{MaxResults: 0, MaxMembers: 1}, {MaxResults: 1001, MaxMembers: 1}, {MaxResults: 1, MaxMembers: directory.MaxExpansion + 1}, {MaxResults: 1}} {
		if s.Reload(t.Context(), &bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if err := s.Reload(t.Context(), &addressbook.Settings{MaxResults: 1, MaxMembers: 1000}); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
