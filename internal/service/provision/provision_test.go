package provision_test

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/provision"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/provisioning"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, provision.Spec) }

func h(name, value string) phone.Header { return phone.Header{Name: name, Value: value} }

// A client asks once and gets the groups it named, as far as they exist, in the
// answer.
func TestAskOnce(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{provision.Spec, registrar.Spec}})
	n.AddUsers("alice", "bob")
	a := servicetest.Dial(t, n, "tcp", "alice")
	ask := func(code int, uri, body string) *phone.Message {
		m := a.Request("SUBSCRIBE", uri, uri, h("Event", provisioning.EventPackage), h("Accept", provisioning.MediaType), h("Contact", "<"+a.Contact()+">"), h("Expires", "0"),
			h("Supported", "com.microsoft.autoextend"), h("Supported", "ms-benotify"), h("Proxy-Require", "ms-benotify"), h("Supported", "ms-piggyback-first-notify"),
			h("Content-Type", provisioning.MediaType))
		m.Body = body
		return a.Ask(code, m)
	}
	m := ask(200, "sip:alice@example.test", string(provisioning.AppendRequest(nil, "ServerConfiguration", "persistentChatConfiguration", "unknown", "ucPolicy", "ucPolicy")))
	if m.Get("ms-piggyback-cseq") != "1" || m.Get("subscription-state") != "terminated;expires=0" || m.Get("Event") != provisioning.EventPackage || m.Get("Content-Type") != provisioning.MediaType {
		t.Errorf("answer\n%s", m)
	}
	root, err := xmldoc.Parse([]byte(m.Body), xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for g := range root.Kids {
		groups = append(groups, g.Attr("name"))
	}
	if strings.Join(groups, " ") != "ServerConfiguration persistentChatConfiguration ucPolicy" {
		t.Errorf("groups %q", groups)
	}
	if v := root.Kid("provisionGroup").KidText("ucPC2PCAVEncryption"); v != "SupportEncryption" {
		t.Errorf("encryption %q", v)
	}
	if v := root.Kid("provisionGroup").KidText("mrasUri"); v != "sip:mras@server.example.test" {
		t.Errorf("relay credentials at %q", v)
	}
	for _, missing := range []string{"focusFactoryUri", "dlxInternalUrl", "absInternalServerUrl"} {
		if strings.Contains(m.Body, missing) {
			t.Errorf("%s is told and not served", missing)
		}
	}
	a.Quiet()
	ask(200, "sip:alice@example.test", "")
	ask(400, "sip:alice@example.test", "<x/>")
	ask(403, "sip:bob@example.test", "")
}

// Clients learn the media ports of the conferencing configuration, which are those
// in the rules of the plan, and a change when they ask again.
func TestMediaPorts(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{provision.Spec, registrar.Spec}})
	n.AddUsers("alice")
	a := servicetest.Dial(t, n, "tcp", "alice")
	told := func() func(string) string {
		t.Helper()
		m := a.Request("SUBSCRIBE", "sip:alice@example.test", "sip:alice@example.test", h("Event", provisioning.EventPackage), h("Accept", provisioning.MediaType),
			h("Contact", "<"+a.Contact()+">"), h("Expires", "0"), h("Supported", "ms-benotify"), h("Proxy-Require", "ms-benotify"),
			h("Supported", "ms-piggyback-first-notify"), h("Content-Type", provisioning.MediaType))
		m.Body = string(provisioning.AppendRequest(nil, "ServerConfiguration"))
		root, err := xmldoc.Parse([]byte(a.Ask(200, m).Body), xmldoc.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return root.Kid("provisionGroup").KidText
	}
	if s := told(); s("ucPortRangeEnabled") != "false" || s("ucMinAudioPort") != "" {
		t.Errorf("ranges are off, and clients are told %q %q", s("ucPortRangeEnabled"), s("ucMinAudioPort"))
	}
	c := n.Client()
	var text adminapi.TopologyText
	if _, err := c.Do(t.Context(), http.MethodGet, "/topology", "", nil, &text); err != nil {
		t.Fatal(err)
	}
	text.Text += "[media]\nclient-ranges = true\nclient-audio = { start = 50020, count = 20 }\nclient-video = { start = 58000, count = 30 }\n"
	if _, err := c.Do(t.Context(), http.MethodPut, "/topology", "", text, nil); err != nil {
		t.Fatal(err)
	}
	s := told()
	for name, want := range map[string]string{"ucPortRangeEnabled": "true", "ucMinAudioPort": "50020", "ucMaxAudioPort": "50039", "ucMinVideoPort": "58000",
		"ucMaxVideoPort": "58029", "ucMinSipDynamicPort": "7100", "ucMaxSipDynamicPort": "7102", "ucMinMediaPort": "5350", "ucMaxFileTransferPort": "5389"} {
		if s(name) != want {
			t.Errorf("%s is %q, want %s", name, s(name), want)
		}
	}
}
