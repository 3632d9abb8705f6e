// Package web opens the listeners of the web sites and hands out web tickets ([MS-OCAUTHWS]).
package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"parley/internal/diag"
	"parley/internal/httpd"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
)

const (
	ticketPath = "/webticket/webticketservice.svc"
	ticketURL  = "/WebTicket/WebTicketService.svc" // as it is shown
)

// Spec declares the service.
var Spec = service.Spec{
	Name:  "web",
	Doc:   "The web sites of the pool, inside and outside, and the tickets by which users are known there.",
	Roles: []topology.Role{topology.RoleFrontEnd},
	Needs: service.NeedWeb,
	Ports: []service.Port{
		{Row: porttable.SrvFeWebcompat443, Transport: service.HTTPS},
		{Row: porttable.SrvFeWebcompat80, Transport: service.HTTP},
		{Row: porttable.SrvFeWeb4443, Transport: service.HTTPS, External: true},
		{Row: porttable.SrvFeWebcompat8080, Transport: service.HTTP, External: true},
		// The way of the browser's meetings between servers. There are no meetings yet, so it is closed unless wanted.
		{Row: porttable.SrvFeWeb8060, Transport: service.HTTPS, ClientCert: service.RequireClientCert, Optional: true},
		{Row: porttable.SrvFeWeb8061, Transport: service.HTTPS, ClientCert: service.RequireClientCert, External: true, Optional: true},
	},
	Paths:    []string{ticketPath, ticketPath + "/mex"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	InternalURL string `toml:"internal-url" doc:"How clients inside reach the web site of the pool, when it is not by the name in the topology and the port of this node." reload:"restart" example:"https://web.example.test"`
	TicketHours int    `toml:"ticket-hours" doc:"How long a web ticket is good, 1 to 24." reload:"live"`
	StrictDays  int    `toml:"strict-transport-days" doc:"For how many days a browser that was here with TLS comes with TLS only, 0 to 3650 (RFC 6797). Browsers heed it where they trust the certificate." reload:"live"`
}

// Transport is StrictDays as a time.
func (s *Settings) Transport() time.Duration { return time.Duration(s.StrictDays) * 24 * time.Hour }

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{TicketHours: 8, StrictDays: 365}

// Service is the running service.
type Service struct {
	host     service.Host
	settings atomic.Pointer[Settings]
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h}
	return s, s.Reload(context.Background(), h.Settings)
}

// Reload takes new settings.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = &DefaultSettings
	}
	if n.TicketHours < 1 || n.TicketHours > 24 {
		return fmt.Errorf("web: ticket-hours = %d: want 1 to 24", n.TicketHours)
	}
	if n.StrictDays < 0 || n.StrictDays > 3650 {
		return fmt.Errorf("web: strict-transport-days = %d: want 0 to 3650", n.StrictDays)
	}
	if u, err := url.Parse(n.InternalURL); n.InternalURL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("web: internal-url %q is not a URL such as https://web.example.test", n.InternalURL)
	}
	s.settings.Store(n)
	return nil
}

// Start opens the listeners.
func (s *Service) Start(ctx context.Context) error { return s.host.ListenAll(ctx) }

// Drain has nothing to finish: the front waits for requests under way.
func (s *Service) Drain(context.Context) error { return nil }

// Stop has nothing to release.
func (s *Service) Stop(context.Context) error { return nil }

// maxBody bounds a request for a ticket.
const maxBody = 32 << 10

// ServeHTTP hands out tickets.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !httpd.SiteOf(r).TLS:
		http.Error(w, "tickets over TLS only", http.StatusForbidden)
	case strings.HasSuffix(strings.ToLower(r.URL.Path), "/mex"):
		webticket.Write(w, http.StatusOK, metadata(r))
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		s.issue(w, r)
	}
}

func (s *Service) issue(w http.ResponseWriter, r *http.Request) {
	aor, ok := s.host.Web.Login(w, r)
	if !ok {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	req, err := webticket.ParseRequest(body)
	if err != nil {
		webticket.Fault(w, diag.WebRequest, "The request for a web ticket cannot be read")
		return
	}
	address, err := url.Parse(req.Address)
	switch {
	case err != nil || address.Path == "":
		webticket.Fault(w, diag.WebRequest, "The request does not say which service the web ticket is for")
		return
	case req.AOR != "" && req.AOR != aor:
		webticket.Fault(w, diag.WebNoTicket, "The SIP URI in the claim type requirements of the web ticket request does not match the SIP URI associated with the presented credential")
		return
	}
	now := s.host.Now()
	expires := now.Add(time.Duration(s.settings.Load().TicketHours) * time.Hour)
	webticket.Write(w, http.StatusOK, s.host.Web.Tickets.AppendAnswer(nil, req, aor, strings.ToLower(address.Path), now, expires))
}

// metadata is the WSDL in which a client finds where to get a ticket.
func metadata(r *http.Request) []byte {
	b := []byte(`<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"><wsdl:service name="WebTicketService"><wsdl:port name="WebTicketServiceWinNegotiate"><soap:address`)
	b = xmldoc.AppendAttr(b, "location", "https://"+r.Host+ticketURL)
	return append(b, `/></wsdl:port></wsdl:service></wsdl:definitions>`...)
}
