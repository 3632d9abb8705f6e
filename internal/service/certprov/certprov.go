// Package certprov gives users' devices the certificates by which they sign in without a password: the certificate
// provisioning service of [MS-OCAUTHWS].
package certprov

import (
	"context"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/contract/usercert"
	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/httpd"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
)

//go:embed schema/*.sql
var schemas embed.FS

func schema() fs.FS {
	sub, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// URL is the path of the service as it is shown to clients.
const URL = "/CertProv/CertProvisioningService.svc"

const path = "/certprov/certprovisioningservice.svc"

// Spec declares the service.
var Spec = service.Spec{
	Name:     "certprov",
	Doc:      "Certificates by which the devices of users sign in without a password.",
	Roles:    []topology.Role{topology.RoleFrontEnd},
	Needs:    service.NeedStore | service.NeedDirectory | service.NeedWeb,
	Schema:   schema(),
	Paths:    []string{path + "/mex", path + "/webticket_proof_sha1", path + "/webticket_proof"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	Days int `toml:"days" doc:"How long a certificate is good, 1 to 365 days." reload:"live"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{Days: 180}

// Service is the running service.
type Service struct {
	host     service.Host
	rows     rows
	settings atomic.Pointer[Settings]
	undo     func()
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h, rows: rows{db: h.Store}}
	return s, s.Reload(context.Background(), h.Settings)
}

// Reload takes new settings.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = &DefaultSettings
	}
	if n.Days < 1 || n.Days > 365 {
		return fmt.Errorf("certprov: days = %d: want 1 to 365", n.Days)
	}
	s.settings.Store(n)
	return nil
}

// refreshEvery is how often certificates that other members issued are looked for.
const refreshEvery = 10 * time.Second

// Start loads the certificates that are good.
func (s *Service) Start(start context.Context) error {
	if err := s.rows.Expire(start, s.host.Now()); err != nil {
		return err
	}
	seen, err := s.load(start, time.Time{})
	if err != nil {
		return err
	}
	s.host.Web.Certificates.SetAuthorities(s.host.Web.UserCA.Cert)
	ctx, cancel := context.WithCancel(context.WithoutCancel(start))
	s.cancel = cancel
	s.undo = s.host.Directory.Watch(s.userChanged)
	s.running.Go(func() { s.refresh(ctx, seen) })
	return nil
}

func (s *Service) refresh(ctx context.Context, seen time.Time) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Members' clocks differ a little.
			next, err := s.load(ctx, seen.Add(-time.Minute))
			if err == nil {
				seen = next
			} else if ctx.Err() == nil {
				s.host.Log.Warn("certificates of other members are not known", "err", err)
			}
		}
	}
}

// load puts the certificates issued since a time into the registry, and returns when the last one was.
func (s *Service) load(ctx context.Context, since time.Time) (time.Time, error) {
	all, err := s.rows.Since(ctx, since)
	if err != nil {
		return since, err
	}
	last := since
	for _, c := range all {
		if user, ok := s.host.Directory.ByID(c.UserID); ok && c.NotAfter.After(s.host.Now()) {
			s.host.Web.Certificates.Put(usercert.Device{AOR: user.AOR, ID: c.Device}, c.Serial)
		}
		if c.Issued.After(last) {
			last = c.Issued
		}
	}
	return last, nil
}

// userChanged forgets the certificates of a user who is gone. That his address may be given to somebody else is why.
func (s *Service) userChanged(e directory.Event) {
	if e.Kind == directory.Removed {
		s.host.Web.Certificates.Forget(e.User.AOR)
	}
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends the goroutine.
func (s *Service) Stop(context.Context) error {
	if s.undo != nil {
		s.undo()
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return nil
}

// maxBody bounds a request: a ticket and a request for a certificate.
const maxBody = 48 << 10

// ServeHTTP answers clients that ask for a certificate.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := strings.ToLower(r.URL.Path)
	switch {
	case !httpd.SiteOf(r).TLS:
		http.Error(w, "certificates over TLS only", http.StatusForbidden)
	case strings.HasSuffix(at, "/mex"):
		webticket.Write(w, http.StatusOK, metadata(r))
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		s.publish(w, r, at)
	}
}

func (s *Service) publish(w http.ResponseWriter, r *http.Request, at string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	now := s.host.Now()
	ticket, envelope, err := s.host.Web.Tickets.Proof(body, at, now)
	if err != nil {
		webticket.Fault(w, webticket.Report(err), err.Error())
		return
	}
	user, ok := s.host.Directory.Lookup(ticket.AOR)
	if !ok || !user.Enabled {
		webticket.Fault(w, diag.WebNoTicket, "the user is disabled")
		return
	}
	ask, err := parse(envelope)
	if err != nil {
		webticket.Fault(w, diag.WebRequest, err.Error())
		return
	}
	if ask.entity != "" && ask.entity != user.AOR {
		webticket.Fault(w, diag.WebNoTicket, "the certificate is for somebody else")
		return
	}
	c, err := s.issue(r.Context(), user, ask, now)
	if err != nil {
		s.host.Log.Error("certificate not issued", "user", user.AOR, "err", err)
		webticket.Fault(w, diag.WebRequest, "the certificate cannot be issued now")
		return
	}
	webticket.Write(w, http.StatusOK, answer(c))
}

// issue makes a certificate, stores it and takes it from then on, and no other of the device.
func (s *Service) issue(ctx context.Context, user *directory.User, ask *request, now time.Time) (*x509.Certificate, error) {
	d := usercert.Device{AOR: user.AOR, ID: ask.device}
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	life := time.Duration(s.settings.Load().Days) * 24 * time.Hour
	c, err := s.host.Web.UserCA.IssueUser(string(user.AOR), names, ask.csr.PublicKey, now, life)
	if err != nil {
		return nil, err
	}
	serial := c.SerialNumber.Text(16)
	if err := s.rows.Put(ctx, &row{UserID: user.ID, Device: ask.device, Serial: serial, Issued: now, NotAfter: c.NotAfter}); err != nil {
		return nil, err
	}
	s.host.Web.Certificates.Put(d, serial)
	return c, nil
}

// request is a GetAndPublishCert.
type request struct {
	device string
	entity uc.AOR
	csr    *x509.CertificateRequest
}

// The size of RSA keys of users.
const minKey, maxKey = 2048 / 8, 4096 / 8

func parse(envelope *xmldoc.Element) (*request, error) {
	e := webticket.Path(envelope, "Body", "GetAndPublishCert")
	token := webticket.Path(e, "RequestSecurityToken", "BinarySecurityToken")
	if token == nil {
		return nil, fmt.Errorf("no request for a certificate")
	}
	r := new(request)
	id := strings.ToLower(strings.Trim(e.Attr("DeviceId"), "{}"))
	if b, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err != nil || len(b) != 16 {
		return nil, fmt.Errorf("DeviceId is not a UUID")
	}
	r.device = "urn:uuid:" + id
	if text := strings.TrimPrefix(e.Attr("Entity"), "sip:"); text != "" {
		var err error
		if r.entity, err = uc.ParseAOR(text); err != nil {
			return nil, fmt.Errorf("Entity is not an address")
		}
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(token.Text()), ""))
	if err != nil {
		return nil, fmt.Errorf("the PKCS 10 request is not base64")
	}
	if r.csr, err = x509.ParseCertificateRequest(der); err != nil {
		return nil, fmt.Errorf("the PKCS 10 request cannot be read")
	}
	if err := r.csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the PKCS 10 request is not signed with its key")
	}
	if key, ok := r.csr.PublicKey.(interface{ Size() int }); !ok || key.Size() < minKey || key.Size() > maxKey {
		return nil, fmt.Errorf("the key is not an RSA key of 2048 to 4096 bits")
	}
	return r, nil
}

func answer(c *x509.Certificate) []byte {
	b := []byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetAndPublishCertResponse xmlns="http://schemas.microsoft.com/OCS/AuthWebServices/">` +
		`<RequestSecurityTokenResponse xmlns="http://docs.oasis-open.org/ws-sx/ws-trust/200512"><TokenType>http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3</TokenType>` +
		`<RequestedSecurityToken><BinarySecurityToken xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"` +
		` ValueType="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3">`)
	b = base64.StdEncoding.AppendEncode(b, c.Raw)
	return append(b, `</BinarySecurityToken></RequestedSecurityToken></RequestSecurityTokenResponse></GetAndPublishCertResponse></s:Body></s:Envelope>`...)
}

// metadata is the WSDL in which a client finds where tickets come from and where to ask with one.
func metadata(r *http.Request) []byte {
	base := "https://" + r.Host
	b := []byte(`<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"` +
		` xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy" xmlns:sp="http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"` +
		` xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd" xmlns:wsa10="http://www.w3.org/2005/08/addressing">` +
		`<wsp:Policy wsu:Id="CertProvisioningServiceWebTicketProof_SHA1_policy"><wsp:ExactlyOne><wsp:All><sp:EndorsingSupportingTokens><wsp:Policy><sp:IssuedToken><sp:Issuer>`)
	b = xmldoc.AppendElement(b, "wsa10:Address", base+"/WebTicket/WebTicketService.svc")
	b = append(b, `</sp:Issuer></sp:IssuedToken></wsp:Policy></sp:EndorsingSupportingTokens></wsp:All></wsp:ExactlyOne></wsp:Policy>`+
		`<wsdl:service name="CertProvisioningService"><wsdl:port name="CertProvisioningServiceWebTicketProof_SHA1"><soap:address`...)
	b = xmldoc.AppendAttr(b, "location", base+URL+"/WebTicket_Proof_SHA1")
	return append(b, `/></wsdl:port></wsdl:service></wsdl:definitions>`...)
}
