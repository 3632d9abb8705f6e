package dialog

import (
	"strings"

	"parley/internal/sip"
)

// ID names a dialog as one side sees it. It is comparable and serves as a map key.
type ID struct {
	CallID string
	Local  string // our tag
	Remote string // the peer's tag; empty before the peer has answered, or with an RFC 2543 peer
}

// IDOf returns the id of the dialog a received message belongs to: in a request our tag is that of To, in a
// response that of From (RFC 3261 section 12).
func IDOf(m *sip.Message) ID {
	from, to := string(m.FromTag()), string(m.ToTag())
	if m.IsRequest() {
		return ID{string(m.CallID()), to, from}
	}
	return ID{string(m.CallID()), from, to}
}

// State is how far a dialog has come.
type State uint8

// The states of RFC 3261 section 12.
const (
	Early State = iota
	Confirmed
	Terminated
)

// String returns the state's name.
func (s State) String() string { return [...]string{"early", "confirmed", "terminated"}[s] }

// Dialog is one dialog. Fields are read freely; the methods change them.
type Dialog struct {
	ID           ID
	State        State
	Caller       bool     // we sent the request that made the dialog
	LocalURI     string   // From of our requests without its tag, with display name
	RemoteURI    string   // To of our requests without its tag, with display name
	RemoteEpid   string   // the peer's endpoint id, for To ([MS-SIPRE]); "" when it has none
	RemoteTarget string   // request URI of our requests
	RouteSet     []string // Route values of our requests, in order
	LocalSeq     uint32   // CSeq of our last request
	RemoteSeq    uint32   // CSeq of the peer's last request, 0 when there was none
	Secure       bool     // everything goes over TLS (section 12.1)
	Session      Session  // timers agreed on

	heard bool // RemoteSeq is set
}

// Session is what the last answer said about session timers (RFC 4028). The dialog only carries it.
type Session struct {
	Expires   uint32 // seconds, 0 when there is no timer
	MinSE     uint32
	Refresher string // "uac", "uas" or ""; relative to the request that was answered
}

// NewUAS makes the dialog a request opens on the side that answers it (RFC 3261 section 12.1.1). localTag is the
// To tag of the answer. The dialog is early until Confirm.
func NewUAS(req *sip.Message, localTag string) (*Dialog, error) {
	from, err := req.From()
	if err != nil {
		return nil, err
	}
	to, err := req.To()
	if err != nil {
		return nil, err
	}
	target, err := contact(req)
	if err != nil {
		return nil, err
	}
	seq, _ := req.CSeq()
	d := &Dialog{
		ID:           ID{string(req.CallID()), localTag, tag(from)},
		LocalURI:     untagged(to),
		RemoteURI:    untagged(from),
		RemoteEpid:   epid(from),
		RemoteTarget: target,
		RemoteSeq:    seq,
		heard:        true,
		Secure:       secure(req.RequestURI()),
	}
	d.RouteSet = routes(req, false)
	d.Session = sessionOf(req)
	return d, nil
}

// NewUAC makes the dialog a response opens on the side that asked (RFC 3261 section 12.1.2). A 1xx, which must
// have a To tag, gives an early dialog, a 2xx a confirmed one.
func NewUAC(req, resp *sip.Message) (*Dialog, error) {
	code := resp.StatusCode()
	if code <= 100 || code >= 300 {
		return nil, sip.Errorf(500, "a %d makes no dialog", code)
	}
	from, err := req.From()
	if err != nil {
		return nil, err
	}
	to, err := resp.To()
	if err != nil {
		return nil, err
	}
	if tag(to) == "" && code < 200 {
		return nil, sip.Errorf(500, "a provisional response without a To tag makes no dialog")
	}
	target, err := contact(resp)
	if err != nil {
		return nil, err
	}
	seq, _ := req.CSeq()
	d := &Dialog{
		ID:           ID{string(req.CallID()), tag(from), tag(to)},
		Caller:       true,
		LocalURI:     untagged(from),
		RemoteURI:    untagged(to),
		RemoteEpid:   epid(to),
		RemoteTarget: target,
		RouteSet:     routes(resp, true),
		LocalSeq:     seq,
		Secure:       secure(req.RequestURI()),
		Session:      sessionOf(resp),
	}
	if code >= 200 {
		d.State = Confirmed
	}
	return d, nil
}

// Confirm marks a dialog whose 2xx was sent.
func (d *Dialog) Confirm() {
	if d.State == Early {
		d.State = Confirmed
	}
}

// Terminate ends the dialog.
func (d *Dialog) Terminate() { d.State = Terminated }

// tag returns the tag of an address, "" when there is none: section 12.1.1 reads a missing one as null.
func tag(n sip.NameAddr) string {
	t, _ := n.Param("tag")
	return string(t)
}

// epid returns the endpoint id of an address, "" when there is none or it is longer
// than they are.
func epid(n sip.NameAddr) string {
	e, _ := n.Param("epid")
	if len(e) > 64 {
		return ""
	}
	return string(e)
}

// untagged returns an address as it came, without its header parameters.
func untagged(n sip.NameAddr) string {
	s := "<" + string(n.URI) + ">"
	if len(n.Display) > 0 {
		s = string(n.Display) + " " + s
	}
	return unfold(s)
}

// unfold makes one line of a folded value.
func unfold(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// contact returns the URI of the one Contact a dialog-making message must have (section 12.1.1).
func contact(m *sip.Message) (string, error) {
	vals := m.Values(sip.HContact)
	v, ok := vals.Next()
	if !ok {
		return "", sip.Errorf(400, "a dialog needs a Contact")
	}
	var n sip.NameAddr
	if err := sip.ParseNameAddr(v, &n); err != nil {
		return "", err
	}
	if n.Star {
		return "", sip.Errorf(400, "a dialog needs a Contact with a URI")
	}
	var u sip.URI // it becomes the request URI of our requests, so it must be one
	if err := n.ParseURI(&u); err != nil {
		return "", err
	}
	if _, more := vals.Next(); more {
		return "", sip.Errorf(400, "a dialog has one Contact")
	}
	return string(n.URI), nil
}

// routes returns the Record-Route values, in reverse order for the side that asked.
func routes(m *sip.Message, reverse bool) []string {
	var set []string
	for v := range m.All(sip.HRecordRoute) {
		set = append(set, unfold(string(v)))
	}
	if reverse {
		for i, j := 0, len(set)-1; i < j; i, j = i+1, j-1 {
			set[i], set[j] = set[j], set[i]
		}
	}
	return set
}

func secure(uri []byte) bool {
	return len(uri) > 5 && strings.EqualFold(string(uri[:5]), "sips:")
}

func sessionOf(m *sip.Message) Session {
	var s Session
	s.MinSE, _ = m.Seconds(sip.HMinSE)
	if n, ok := m.Seconds(sip.HSessionExpires); ok {
		s.Expires = n
		if _, params, found := strings.Cut(string(m.Header(sip.HSessionExpires)), ";"); found {
			r, _ := sip.Params(";" + params).Get("refresher")
			s.Refresher = strings.ToLower(string(r))
		}
	}
	return s
}
