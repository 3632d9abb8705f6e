package httpd

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"parley/internal/sip/sigauth"
	"parley/internal/uc"
)

// Login finds out who sends a request, by NTLM or by a password in clear inside of TLS. It is safe for concurrent use.
type Login struct {
	Host string // name of the server
	// NTLM finds the account of NTLM names; nil offers Basic alone.
	NTLM func() func(user, domain string) (sigauth.Account, bool)
	// Password checks a password; Enabled says whether a user may do anything.
	Password func(uc.AOR, string) bool
	Enabled  func(uc.AOR) bool
	Now      func() time.Time
}

// connection is what a handshake keeps of its connection.
type connection struct {
	mu        sync.Mutex
	tls       *tls.ConnectionState // of a connection whose TLS the server cannot see
	challenge *sigauth.WebChallenge
	failures  int
}

type connKey struct{}

// maxFailures is how many wrong passwords a connection may bring.
const maxFailures = 10

// User returns who sent r. Otherwise it has answered: 401 with what to do next, or 403.
func (l *Login) User(w http.ResponseWriter, r *http.Request) (uc.AOR, bool) {
	conn, _ := r.Context().Value(connKey{}).(*connection)
	if conn == nil {
		conn = new(connection)
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var aor uc.AOR
	var ok bool
	switch {
	case scheme == "":
		l.ask(w, r, "")
		return "", false
	case !SiteOf(r).TLS:
		http.Error(w, "credentials over TLS only", http.StatusForbidden)
		return "", false
	case conn.failures >= maxFailures:
		w.Header().Set("Connection", "close")
		http.Error(w, "too many wrong passwords", http.StatusForbidden)
		return "", false
	case strings.EqualFold(scheme, "NTLM") && l.ntlm(r) != nil:
		var token []byte
		if aor, token, ok = l.verify(conn, value, l.ntlm(r)); token != nil {
			l.ask(w, r, base64.StdEncoding.EncodeToString(token))
			return "", false
		}
	case strings.EqualFold(scheme, "Basic"):
		if user, password, found := r.BasicAuth(); found {
			var err error
			if aor, err = uc.ParseAOR(user); err == nil {
				ok = l.Password(aor, password)
			}
		}
	}
	if !ok {
		conn.failures++
		l.ask(w, r, "")
		return "", false
	}
	if !l.Enabled(aor) {
		http.Error(w, "user is disabled", http.StatusForbidden)
		return "", false
	}
	return aor, true
}

// ntlm is nil where NTLM is not offered. It holds to a connection, which over HTTP/2 is many callers' at once.
func (l *Login) ntlm(r *http.Request) func(user, domain string) (sigauth.Account, bool) {
	if l.NTLM == nil || r.ProtoMajor > 1 {
		return nil
	}
	return l.NTLM()
}

// verify goes on with an NTLM handshake. A token is the answer to its first message.
func (l *Login) verify(conn *connection, value string, accounts func(user, domain string) (sigauth.Account, bool)) (aor uc.AOR, token []byte, ok bool) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil || len(b) < 12 {
		return "", nil, false
	}
	if b[8] == 1 { // NEGOTIATE_MESSAGE
		c, token := sigauth.NewWebChallenge(l.Host)
		conn.challenge = &c
		return "", token, false
	}
	c := conn.challenge
	conn.challenge = nil
	if c == nil {
		return "", nil, false
	}
	aor, err = sigauth.VerifyWeb(b, *c, accounts, l.Now())
	return aor, nil, err == nil
}

// ask answers 401, with the next token of an NTLM handshake or with what is offered.
func (l *Login) ask(w http.ResponseWriter, r *http.Request, token string) {
	switch {
	case token != "":
		w.Header().Set("WWW-Authenticate", "NTLM "+token)
	default:
		if l.ntlm(r) != nil {
			w.Header().Add("WWW-Authenticate", "NTLM")
		}
		w.Header().Add("WWW-Authenticate", `Basic realm="`+l.Host+`", charset="UTF-8"`)
	}
	w.WriteHeader(http.StatusUnauthorized)
}
