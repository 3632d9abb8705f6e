package node

import (
	"net"
	"net/http"
	"strings"

	"parley/internal/httpd"
	"parley/internal/topology"
)

// adminPath is where the pages for administrators are, when a service has them.
const adminPath = "/admin/"

// simpleURLs are the addresses that people type or click, as they are for the site of this node.
func (n *Node) simpleURLs() topology.SimpleURLs {
	topo := n.topo.Current()
	if m, ok := topo.Node(n.file.Load().Node.FQDN); ok {
		return topo.SimpleURLsAt(m.Site)
	}
	return topo.SimpleURLsAt(nil)
}

// simple is httpd.Front.Simple.
func (n *Node) simple(r *http.Request) http.Handler {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	is := func(u topology.URL) bool {
		if u.IsZero() || !strings.EqualFold(string(u.Host), host) {
			return false
		}
		path, want := strings.ToLower(r.URL.Path), strings.ToLower(u.Path)
		return path == want || strings.HasPrefix(path, want+"/")
	}
	urls := n.simpleURLs()
	if is(urls.Admin) && !httpd.SiteOf(r).External && n.front.Serves(adminPath) {
		return http.RedirectHandler(adminPath, http.StatusFound)
	}
	if is(urls.DialIn) {
		return notThere("There is no dial-in conferencing on this server.", "이 서버에는 전화 회의가 없습니다.")
	}
	for _, u := range urls.Meet {
		if is(u) {
			return notThere("There are no meetings on this server.", "이 서버에는 회의가 없습니다.")
		}
	}
	return nil
}

// notThere tells people who followed a link that its page does not exist, in their language.
func notThere(english, korean string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, lang := english, "en"
		if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "ko") {
			text, lang = korean, "ko"
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Language", lang)
		h.Set("Vary", "Accept-Language")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`<!doctype html><html lang="` + lang + `"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Parley</title><p>` + text + `</p></html>`))
	})
}
