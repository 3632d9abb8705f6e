package abquery

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"parley/internal/xmldoc"
)

func parse(text string) (*Query, error) {
	e, err := xmldoc.Parse([]byte(text), xmldoc.Limits{})
	if err != nil {
		return nil, err
	}
	return Parse(e)
}

// As pidgin-sipe writes them.
const (
	change = `<SearchAbEntry xmlns="DistributionListExpander" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"> <AbEntryRequest>` +
		`<ChangeSearch xmlns:q1="DistributionListExpander" soapenc:arrayType="q1:AbEntryRequest.ChangeSearchQuery[2]"> <AbEntryRequest.ChangeSearchQuery> <SearchOn>givenName</SearchOn> <Value>Alice</Value></AbEntryRequest.ChangeSearchQuery>` +
		`<AbEntryRequest.ChangeSearchQuery> <SearchOn>c</SearchOn> <Value>NZ</Value></AbEntryRequest.ChangeSearchQuery></ChangeSearch>  <Metadata>   <FromDialPad>false</FromDialPad>   <MaxResultNum>100</MaxResultNum>` +
		`   <ReturnList>displayName,msRTCSIP-PrimaryUserAddress,photoHash</ReturnList>  </Metadata> </AbEntryRequest></SearchAbEntry>`
	basic = `<SearchAbEntry xmlns="DistributionListExpander"><AbEntryRequest><BasicSearch> <SearchList>c,company, sn</SearchList> <Value>ali</Value> <Verb>BeginsWith</Verb></BasicSearch></AbEntryRequest></SearchAbEntry>`
)

func TestParse(t *testing.T) {
	q, err := parse(change)
	want := &Query{Rows: []Row{{"givenName", "Alice"}, {"c", "NZ"}}, Max: 100, Return: []string{"displayName", "msRTCSIP-PrimaryUserAddress", "photoHash"}}
	if err != nil || !reflect.DeepEqual(q, want) {
		t.Errorf("%v %+v", err, q)
	}
	if q, err = parse(basic); err != nil || !reflect.DeepEqual(q, &Query{Basic: &Basic{[]string{"c", "company", "sn"}, "ali"}}) {
		t.Errorf("%v %+v", err, q)
	}
	long, rows, names := strings.Repeat("x", 257), strings.Repeat("<AbEntryRequest.ChangeSearchQuery><SearchOn>c</SearchOn></AbEntryRequest.ChangeSearchQuery>", 33), strings.Repeat("c,", 65)
	in := func(s string) string {
		return "<SearchAbEntry><AbEntryRequest>" + s + "</AbEntryRequest></SearchAbEntry>"
	}
	row := func(on, value string) string {
		return "<ChangeSearch><AbEntryRequest.ChangeSearchQuery><SearchOn>" + on + "</SearchOn><Value>" + value + "</Value></AbEntryRequest.ChangeSearchQuery></ChangeSearch>"
	}
	for name, text := range map[string]string{
		"other operation": "<QueryX/>", "empty": "<SearchAbEntry/>", "nothing to search": in(""), "both": in(row("c", "x") + "<BasicSearch/>"),
		"no rows": in("<ChangeSearch/>"), "no SearchOn": in(row("", "x")), "long value": in(row("c", long)), "long name": in(row(long, "c")),
		"many rows": in("<ChangeSearch>" + rows + "</ChangeSearch>"), "other verb": in("<BasicSearch><SearchList>c</SearchList><Verb>Contains</Verb></BasicSearch>"),
		"no list": in("<BasicSearch><Verb>BeginsWith</Verb></BasicSearch>"), "long list": in("<BasicSearch><SearchList>" + names + "</SearchList><Verb>BeginsWith</Verb></BasicSearch>"),
		"no number": in(row("c", "x") + "<Metadata><MaxResultNum>-1</MaxResultNum></Metadata>"), "long return": in(row("c", "x") + "<Metadata><ReturnList>" + names + "</ReturnList></Metadata>"),
	} {
		if q, err := parse(text); err == nil {
			t.Errorf("%s: %+v", name, q)
		}
	}
	if _, err := Parse(nil); err == nil {
		t.Error("nothing is a query")
	}
}

func TestAnswer(t *testing.T) {
	b := AppendAnswer(nil, []Entry{{{"displayName", []string{`A "<`}, false}, {"mail", nil, false}, {"mobile", []string{"1", "2"}, true}}})
	want := `<SearchAbEntryResponse xmlns="DistributionListExpander"><SearchAbEntryResult><Items><AbEntry><Attributes><Attribute><Name>displayName</Name><Value>A &#34;&lt;</Value></Attribute>` +
		`<Attribute><Name>mobile</Name><Values><string>1</string><string>2</string></Values></Attribute></Attributes></AbEntry></Items></SearchAbEntryResult></SearchAbEntryResponse>`
	if string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(change)
	f.Add(basic)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse(string(q.Append(nil)))
		if err != nil || fmt.Sprintf("%+v", again.Rows) != fmt.Sprintf("%+v", q.Rows) || !reflect.DeepEqual(again.Basic, q.Basic) || again.Max != q.Max ||
			fmt.Sprint(again.Return) != fmt.Sprint(q.Return) {
			t.Fatalf("%v: %+v became %+v", err, q, again)
		}
	})
}
