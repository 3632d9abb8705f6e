package provision_test

import (
	"net/http"
	"strings"
	"testing"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/addressbook"
	"parley/internal/service/adminapi"
	"parley/internal/service/provision"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/provisioning"
)

// Where the address book is, is told when it is served, inside and, with a name in
// the topology, outside.
func TestAddressBook(t *testing.T) {
	ask := func(t *testing.T, n *nodetest.Node) func(string) string {
		t.Helper()
		a := servicetest.Dial(t, n, "tcp", "alice")
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
	t.Run("served", func(t *testing.T) {
		n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{addressbook.Spec, web.Spec, provision.Spec, registrar.Spec}})
		n.AddUsers("alice")
		s := ask(t, n)
		for name, path := range map[string]string{"abwqInternalUrl": addressbook.QueryPath, "dlxInternalUrl": addressbook.QueryPath, "absInternalServerUrl": addressbook.FilesPath} {
			if u := s(name); !strings.HasPrefix(u, "https://") || !strings.HasSuffix(u, path) {
				t.Errorf("%s is %q", name, u)
			}
		}
		if s("absWebServiceEnabled") != "true" || s("dlxEnabled") != "false" || s("dlxExternalUrl") != "" {
			t.Errorf("enabled %q, dlx %q, outside %q", s("absWebServiceEnabled"), s("dlxEnabled"), s("dlxExternalUrl"))
		}
		c := n.Client()
		var text adminapi.TopologyText
		if _, err := c.Do(t.Context(), http.MethodGet, "/topology", "", nil, &text); err != nil {
			t.Fatal(err)
		}
		for _, quote := range []string{`"`, "'"} {
			text.Text = strings.Replace(text.Text, "kind = "+quote+"standard"+quote, "external-web = 'webext.example.test'\nkind = "+quote+"standard"+quote, 1)
		}
		if _, err := c.Do(t.Context(), http.MethodPut, "/topology", "", text, nil); err != nil {
			t.Fatal(err)
		}
		if u := ask(t, n)("dlxExternalUrl"); u != "https://webext.example.test"+addressbook.QueryPath {
			t.Errorf("outside it is %q in\n%s", u, text.Text)
		}
	})
	t.Run("not served", func(t *testing.T) {
		n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{web.Spec, provision.Spec, registrar.Spec}})
		n.AddUsers("alice")
		s := ask(t, n)
		if s("abwqInternalUrl") != "" || s("absInternalServerUrl") != "" || s("absWebServiceEnabled") != "false" {
			t.Error("an address is told where nobody answers")
		}
	})
}
