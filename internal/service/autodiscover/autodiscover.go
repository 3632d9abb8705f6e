// Package autodiscover tells clients where to sign in ([MS-OCDISCWS]): a client asks lyncdiscover.DOMAIN, in XML or
// in JSON, and with a web ticket where its own server is.
package autodiscover

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"parley/internal/diag"
	"parley/internal/httpd"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
)

const (
	rootPath   = "/autodiscover/autodiscoverservice.svc/root"
	domainPath = rootPath + "/domain"
	userPath   = rootPath + "/user"
	rootURL    = "/Autodiscover/AutodiscoverService.svc/root" // as it is shown

	clientPath = "/client/" // of people with nothing but a browser

	xmlType = "application/vnd.microsoft.rtc.autodiscover+xml; v=1"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:  "autodiscover",
	Doc:   "Tells clients where to sign in.",
	Roles: []topology.Role{topology.RoleFrontEnd},
	Needs: service.NeedDirectory | service.NeedWeb,
	Paths: []string{"/{$}", rootPath, domainPath, userPath},
	Build: func(h service.Host) (service.Service, error) { return &Service{host: h}, nil },
}

// Service is the running service. It has no state.
type Service struct{ host service.Host }

// Start has nothing to acquire.
func (s *Service) Start(context.Context) error { return nil }

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop has nothing to release.
func (s *Service) Stop(context.Context) error { return nil }

// ServeHTTP answers for the root, the domain and the user.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") && s.host.Web.URL(clientPath, false) != "" {
		http.Redirect(w, r, "https://"+host(r)+clientPath, http.StatusFound) // a browser, which somebody pointed at the server
		return
	}
	w.Header().Set("X-MS-Server-Fqdn", s.host.Node.FQDN)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Add("Vary", "Accept")
	a := answer{w: w, site: httpd.SiteOf(r), json: !wantsXML(r), base: "https://" + host(r), query: query(r)}
	switch path := strings.ToLower(r.URL.Path); {
	case path == userPath:
		s.user(&a, r)
	case !a.site.TLS:
		a.redirect() // the answer itself is never given in clear
	case path == domainPath:
		s.access(&a, "Domain")
	default:
		a.root()
	}
}

// wantsXML reports whether a client asks for XML. Without a wish it gets JSON, as the browsers' clients do.
func wantsXML(r *http.Request) bool {
	accept := strings.ToLower(r.Header.Get("Accept"))
	return strings.Contains(accept, "vnd.microsoft.rtc.autodiscover+xml") || strings.Contains(accept, "application/xml")
}

// host is the name the client used; in clear it may have the port of the other site.
func host(r *http.Request) string {
	if httpd.SiteOf(r).TLS {
		return r.Host
	}
	name, port, ok := strings.Cut(r.Host, ":")
	if !ok || strings.HasPrefix(r.Host, "[") {
		return r.Host
	}
	if port == "80" || port == "8080" {
		return name
	}
	return r.Host
}

// query repeats which domain the client asked about.
func query(r *http.Request) string {
	_, domain, ok := strings.Cut(r.URL.Query().Get("sipuri"), "@")
	if !ok {
		domain = r.URL.Query().Get("originalDomain")
	}
	if domain == "" || len(domain) > 253 {
		return ""
	}
	return "?originalDomain=" + url.QueryEscape(strings.ToLower(domain))
}

// user answers with where the user signs in, to whom shows a ticket.
func (s *Service) user(a *answer, r *http.Request) {
	if !a.site.TLS {
		a.redirect()
		return
	}
	t, err := s.host.Web.Tickets.Bearer(r, r.URL.Path, s.host.Now())
	if err != nil {
		a.w.Header().Set("X-MS-WebTicketURL", a.base+"/WebTicket/WebTicketService.svc")
		a.w.Header().Set("X-MS-WebTicketSupported", "cwt,saml")
		if err != webticket.ErrNone {
			a.w.Header().Set(diag.Web.String(), webticket.Report(err).WebValue(s.host.Node.FQDN, err.Error()))
		}
		a.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if user, ok := s.host.Directory.Lookup(t.AOR); !ok || !user.Enabled {
		a.w.WriteHeader(http.StatusNotFound)
		return
	}
	s.access(a, "User")
}

// access says where SIP is spoken. Only what is really there is named.
func (s *Service) access(a *answer, element string) {
	pool, port := s.host.Node.Pool, strconv.Itoa(int(s.host.Web.SIPPort()))
	if a.json {
		a.writeJSON(map[string]any{"_links": map[string]any{
			"self": link(a.base + rootURL + "/" + strings.ToLower(element) + a.query)},
			"sipServer": pool + ":" + port})
		return
	}
	b := a.begin(element)
	for _, name := range []string{"SipServerInternalAccess", "SipClientInternalAccess", "SipServerExternalAccess", "SipClientExternalAccess"} {
		b = append(append(b, '<'), name...)
		b = xmldoc.AppendAttr(b, "fqdn", pool)
		b = xmldoc.AppendAttr(b, "port", port)
		b = append(b, "/>"...)
	}
	b = appendLink(b, "Internal/Autodiscover", a.base+rootURL)
	b = appendLink(b, "External/Autodiscover", a.base+rootURL)
	b = appendLink(b, "Self", a.base+rootURL+"/"+strings.ToLower(element)+a.query)
	a.end(b, element)
}

// answer is one answer under way.
type answer struct {
	w     http.ResponseWriter
	site  httpd.Site
	json  bool
	base  string // "https://name"
	query string
}

func (a *answer) root() {
	if a.json {
		a.writeJSON(map[string]any{"_links": map[string]any{
			"self": link(a.base + rootURL + a.query), "user": link(a.base + rootURL + "/user" + a.query)}})
		return
	}
	b := a.begin("Root")
	b = appendLink(b, "Domain", a.base+rootURL+"/domain"+a.query)
	b = appendLink(b, "User", a.base+rootURL+"/user"+a.query)
	b = appendLink(b, "Self", a.base+rootURL+a.query)
	a.end(b, "Root")
}

// redirect sends the client to the same with TLS.
func (a *answer) redirect() {
	to := a.base + rootURL + a.query
	if a.json {
		a.writeJSON(map[string]any{"_links": map[string]any{"redirect": link(to)}})
		return
	}
	a.end(appendLink(a.begin("Root"), "Redirect", to), "Root")
}

func (a *answer) begin(element string) []byte {
	where := "Internal"
	if a.site.External {
		where = "External"
	}
	b := []byte(`<?xml version="1.0" encoding="utf-8"?><AutodiscoverResponse xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" AccessLocation="`)
	return append(append(append(append(b, where...), `"><`...), element...), '>')
}

func (a *answer) end(b []byte, element string) {
	b = append(append(append(b, "</"...), element...), "></AutodiscoverResponse>"...)
	a.w.Header().Set("Content-Type", xmlType)
	_, _ = a.w.Write(b) // the client may have gone
}

func (a *answer) writeJSON(v any) {
	a.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(a.w).Encode(v) // the client may have gone
}

func link(href string) map[string]string { return map[string]string{"href": href} }

func appendLink(b []byte, token, href string) []byte {
	b = append(b, "<Link"...)
	b = xmldoc.AppendAttr(b, "token", token)
	b = xmldoc.AppendAttr(b, "href", href)
	return append(b, "/>"...)
}
