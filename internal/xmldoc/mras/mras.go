// Package mras reads and prints the documents of the media relay authentication service, by which clients get credentials
// for the relay ([MS-AVEDGEA]; its text is not public, the documents are those that open clients send and take).
package mras

import (
	"errors"
	"strconv"
	"time"

	"parley/internal/xmldoc"
)

// Names of the documents.
const (
	MediaType = "application/msrtc-media-relay-auth+xml"
	Namespace = "http://schemas.microsoft.com/2006/09/sip/mrasp"
)

// MaxRequest bounds a request; a longer one is answered with TooLarge.
const MaxRequest = 16 << 10

// Reason is how a response says what became of the request.
type Reason string

// The reasons there are.
const (
	OK              Reason = "OK"
	Malformed       Reason = "Request Malformed"
	TooLarge        Reason = "Request Too Large"
	NotSupported    Reason = "Not Supported"
	ServerBusy      Reason = "Server Busy"
	TimeOut         Reason = "Time Out"
	Forbidden       Reason = "Forbidden"
	InternalError   Reason = "Internal Server Error"
	OtherFailure    Reason = "Other Failure"
	VersionMismatch Reason = "Version Mismatch"
)

// Location is on which side of the Edge a client is.
type Location string

// The sides.
const (
	Intranet Location = "intranet"
	Internet Location = "internet"
)

// Request asks for credentials.
type Request struct {
	ID       string // of the request, repeated in the response
	To, From string
	Version  string
	Asks     []Ask
}

// Ask is one set of credentials that is asked for.
type Ask struct {
	ID       string
	Identity string // "sip:alice@example.test"
	Location Location
	Route    string // "loadbalanced" or "directip", or nothing
	Duration time.Duration
}

const (
	maxAsks = 8
	maxText = 512
)

// ErrVersion is matched when a request is of a version that is not spoken here.
var ErrVersion = errors.New("mras: version is not 1.x or 2.x")

func malformed(text string) error { return &xmldoc.Error{Text: text} }

// ParseRequest reads a request. With ErrVersion the request is returned as well, for the answer.
func ParseRequest(b []byte) (*Request, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: MaxRequest, Elements: 128})
	if err != nil {
		return nil, err
	}
	if !root.Is(Namespace, "request") {
		return nil, malformed("not a request for media relay credentials")
	}
	r := &Request{ID: root.Attr("requestID"), To: root.Attr("to"), From: root.Attr("from"), Version: root.Attr("version")}
	if r.ID == "" || len(r.ID) > maxText || len(r.To) > maxText || len(r.From) > maxText || len(r.Version) > 16 {
		return nil, malformed("request without a number, or with values that are too long")
	}
	if len(r.Version) < 3 || r.Version[0] != '1' && r.Version[0] != '2' || r.Version[1] != '.' {
		return r, ErrVersion
	}
	for e := range root.Kids {
		if !e.Is(Namespace, "credentialsRequest") {
			continue
		}
		a := Ask{ID: e.Attr("credentialsRequestID"), Identity: e.KidText("identity"), Location: Location(e.KidText("location")),
			Route: e.KidText("route")}
		if a.Location == "" {
			a.Location = Internet
		}
		if text := e.KidText("duration"); text != "" {
			minutes, err := strconv.ParseUint(text, 10, 31)
			if err != nil || minutes == 0 {
				return nil, malformed("duration is not a number of minutes")
			}
			a.Duration = time.Duration(minutes) * time.Minute
		}
		if a.Identity == "" || len(a.ID) > maxText || len(a.Identity) > maxText || len(a.Route) > maxText || a.Location != Intranet && a.Location != Internet {
			return nil, malformed("credentialsRequest without identity, or with values that are not known")
		}
		if r.Asks = append(r.Asks, a); len(r.Asks) > maxAsks {
			return nil, malformed("too many credentialsRequests")
		}
	}
	if len(r.Asks) == 0 {
		return nil, malformed("no credentialsRequest")
	}
	return r, nil
}

// Append prints r.
func (r *Request) Append(dst []byte) []byte {
	dst = append(dst, "<request"...)
	dst = xmldoc.AppendAttr(dst, "requestID", r.ID)
	dst = xmldoc.AppendAttr(dst, "to", r.To)
	dst = xmldoc.AppendAttr(dst, "from", r.From)
	dst = xmldoc.AppendAttr(dst, "version", r.Version)
	dst = append(dst, ` xmlns="`+Namespace+`">`...)
	for _, a := range r.Asks {
		dst = append(dst, "<credentialsRequest"...)
		dst = xmldoc.AppendAttr(dst, "credentialsRequestID", a.ID)
		dst = append(dst, '>')
		dst = xmldoc.AppendElement(dst, "identity", a.Identity)
		dst = xmldoc.AppendElement(dst, "location", string(a.Location))
		if a.Route != "" {
			dst = xmldoc.AppendElement(dst, "route", a.Route)
		}
		if a.Duration > 0 {
			dst = xmldoc.AppendElement(dst, "duration", strconv.Itoa(int(a.Duration/time.Minute)))
		}
		dst = append(dst, "</credentialsRequest>"...)
	}
	return append(dst, "</request>"...)
}

// Response answers a Request.
type Response struct {
	Request *Request // nil when it could not be read
	Reason  Reason
	Given   []Given // one for each Ask, when Reason is OK
}

// Given is a set of credentials and where they are good.
type Given struct {
	ID                 string
	Username, Password string
	Duration           time.Duration
	Relays             []Relay
}

// Relay is a media relay. A port of 0 is not served.
type Relay struct {
	Location Location
	Host     string
	UDP, TCP uint16
}

// serverVersion is what responses say the server speaks.
const serverVersion = "2.0"

// Append prints r.
func (r *Response) Append(dst []byte) []byte {
	q := r.Request
	if q == nil {
		q = &Request{ID: "0", Version: "1.0"}
	}
	dst = append(append(dst, xmldoc.Header...), "<response"...)
	dst = xmldoc.AppendAttr(dst, "requestID", q.ID)
	dst = xmldoc.AppendAttr(dst, "requestVersion", q.Version)
	dst = xmldoc.AppendAttr(dst, "serverVersion", serverVersion)
	dst = xmldoc.AppendAttr(dst, "to", q.To)
	dst = xmldoc.AppendAttr(dst, "from", q.From)
	dst = xmldoc.AppendAttr(dst, "reasonPhrase", string(r.Reason))
	dst = append(dst, ` xmlns="`+Namespace+`">`...)
	for _, g := range r.Given {
		dst = append(dst, "<credentialsResponse"...)
		dst = xmldoc.AppendAttr(dst, "credentialsRequestID", g.ID)
		dst = append(dst, "><credentials>"...)
		dst = xmldoc.AppendElement(dst, "username", g.Username)
		dst = xmldoc.AppendElement(dst, "password", g.Password)
		dst = xmldoc.AppendElement(dst, "duration", strconv.Itoa(int(g.Duration/time.Minute)))
		dst = append(dst, "</credentials><mediaRelayList>"...)
		for _, m := range g.Relays {
			dst = append(dst, "<mediaRelay>"...)
			dst = xmldoc.AppendElement(dst, "location", string(m.Location))
			dst = xmldoc.AppendElement(dst, "hostName", m.Host)
			if m.UDP != 0 {
				dst = xmldoc.AppendElement(dst, "udpPort", strconv.Itoa(int(m.UDP)))
			}
			if m.TCP != 0 {
				dst = xmldoc.AppendElement(dst, "tcpPort", strconv.Itoa(int(m.TCP)))
			}
			dst = append(dst, "</mediaRelay>"...)
		}
		dst = append(dst, "</mediaRelayList></credentialsResponse>"...)
	}
	return append(dst, "</response>"...)
}

// ParseResponse reads what a server answers.
func ParseResponse(b []byte) (*Response, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 64 << 10, Elements: 512})
	if err != nil {
		return nil, err
	}
	if !root.Is(Namespace, "response") {
		return nil, malformed("not a response about media relay credentials")
	}
	r := &Response{Reason: Reason(root.Attr("reasonPhrase")), Request: &Request{ID: root.Attr("requestID"), To: root.Attr("to"),
		From: root.Attr("from"), Version: root.Attr("requestVersion")}}
	for e := range root.Kids {
		if !e.Is(Namespace, "credentialsResponse") {
			continue
		}
		c := e.Kid("credentials")
		if c == nil {
			return nil, malformed("credentialsResponse without credentials")
		}
		minutes, err := number(c.KidText("duration"), 1<<31-1)
		if err != nil {
			return nil, err
		}
		g := Given{ID: e.Attr("credentialsRequestID"), Username: c.KidText("username"), Password: c.KidText("password"),
			Duration: time.Duration(minutes) * time.Minute}
		if list := e.Kid("mediaRelayList"); list != nil {
			for m := range list.Kids {
				x := Relay{Location: Location(m.KidText("location")), Host: m.KidText("hostName")}
				udp, err := number(m.KidText("udpPort"), 65535)
				if err != nil {
					return nil, err
				}
				tcp, err := number(m.KidText("tcpPort"), 65535)
				if err != nil {
					return nil, err
				}
				x.UDP, x.TCP = uint16(udp), uint16(tcp)
				g.Relays = append(g.Relays, x)
			}
		}
		r.Given = append(r.Given, g)
	}
	return r, nil
}

func number(text string, most uint64) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > most {
		return 0, malformed("not a number in its range: " + strconv.Quote(text))
	}
	return n, nil
}
