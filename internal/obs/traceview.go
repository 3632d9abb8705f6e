package obs

import (
	"bytes"
	"fmt"
	"strings"
)

// Filter chooses messages of a trace. Empty fields choose everything.
type Filter struct {
	User string // address of record: in the request URI, From, To, Contact or an asserted identity
	Call string // Call-ID
	Flow uint64 // number of a flow
}

// Match reports whether the record is chosen. It reads the raw text, so that
// a message no parser accepts can be found too.
func (f Filter) Match(r Record) bool {
	if f.Flow != 0 && f.Flow != r.Flow {
		return false
	}
	if f.Call == "" && f.User == "" {
		return true
	}
	call, user := f.Call == "", f.User == ""
	head, _ := splitBody(r.Raw)
	start, rest, _ := bytes.Cut(head, []byte("\n"))
	user = user || hasUser(start, f.User)
	eachLine(rest, func(name, value []byte) {
		switch canonical(name) {
		case "call-id":
			call = call || string(bytes.TrimSpace(value)) == f.Call
		case "from", "to", "contact", "p-asserted-identity", "p-preferred-identity", "refer-to", "referred-by":
			user = user || hasUser(value, f.User)
		}
	})
	return call && user
}

// hasUser reports whether text holds a SIP or tel URI of the user, who is
// given as "alice@example.test", "sip:alice@example.test" or a number.
func hasUser(text []byte, user string) bool {
	user = strings.ToLower(user)
	for _, scheme := range []string{"sip:", "sips:", "tel:"} {
		user = strings.TrimPrefix(user, scheme)
	}
	low := bytes.ToLower(text)
	for from := 0; ; {
		i := bytes.Index(low[from:], []byte(user))
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(user)
		before := start == 0 || low[start-1] == ':'
		after := end == len(low) || !isURIByte(low[end])
		if before && after {
			return true
		}
		from = start + 1
	}
}

func isURIByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'%@&=+$", c) >= 0
}

// View says how much of a message may be shown.
type View struct {
	Bodies      bool // show bodies: what people wrote to each other
	Credentials bool // show credentials and proofs
}

// Text is the message as v allows: without bodies and with credentials masked
// unless asked for.
func (r Record) Text(v View) string {
	head, body := splitBody(r.Raw)
	var b strings.Builder
	start, rest, _ := bytes.Cut(head, []byte("\n"))
	fmt.Fprintf(&b, "%s\n", bytes.TrimRight(start, "\r"))
	eachLine(rest, func(name, value []byte) {
		value = bytes.TrimRight(value, "\r\n")
		if !v.Credentials && isSecret(canonical(name)) {
			value = maskCredentials(value)
		}
		fmt.Fprintf(&b, "%s:%s\n", name, value)
	})
	b.WriteByte('\n')
	switch {
	case len(body) == 0:
	case v.Bodies:
		b.Write(body)
	default:
		fmt.Fprintf(&b, "[body of %d bytes not shown]\n", len(body))
	}
	return b.String()
}

// Title is one line about the message: the start line without a trailing CR.
func (r Record) Title() string {
	line, _, _ := bytes.Cut(r.Raw, []byte("\n"))
	return string(bytes.TrimRight(line, "\r"))
}

func splitBody(raw []byte) (head, body []byte) {
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		return raw[:i+2], raw[i+4:]
	}
	return raw, nil
}

// eachLine calls f for every header line; the value keeps its folded lines.
func eachLine(head []byte, f func(name, value []byte)) {
	for len(head) > 0 {
		end := 0
		for {
			i := bytes.IndexByte(head[end:], '\n')
			if i < 0 {
				end = len(head)
				break
			}
			end += i + 1
			if end >= len(head) || head[end] != ' ' && head[end] != '\t' {
				break
			}
		}
		name, value, ok := bytes.Cut(head[:end], []byte(":"))
		if ok {
			f(name, value)
		}
		head = head[end:]
	}
}

func canonical(name []byte) string {
	s := strings.ToLower(string(bytes.TrimSpace(name)))
	switch s {
	case "i":
		return "call-id"
	case "f":
		return "from"
	case "t":
		return "to"
	case "m":
		return "contact"
	case "r":
		return "refer-to"
	case "b":
		return "referred-by"
	}
	return s
}

func isSecret(name string) bool {
	switch name {
	case "authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info",
		"www-authenticate", "proxy-authenticate":
		return true
	}
	return false
}

// shown are the authentication parameters that say who and how, not the proof.
var shown = map[string]bool{"username": true, "realm": true, "targetname": true, "algorithm": true,
	"uri": true, "qop": true, "nc": true, "stale": true, "version": true, "crand": true, "cnum": true, "snum": true}

// maskCredentials keeps the scheme and the parameters in shown, and replaces
// every other value. Text it does not understand is masked whole.
func maskCredentials(value []byte) []byte {
	s := strings.TrimSpace(string(value))
	scheme, params, ok := strings.Cut(s, " ")
	if !ok || strings.ContainsAny(scheme, "=,\"") { // Authentication-Info has no scheme
		scheme, params = "", s
	}
	var out []string
	for _, p := range splitParams(params) {
		k, _, ok := strings.Cut(p, "=")
		k = strings.TrimSpace(k)
		switch {
		case !ok:
			out = append(out, "[masked]")
		case shown[strings.ToLower(k)]:
			out = append(out, strings.TrimSpace(p))
		default:
			out = append(out, k+"=[masked]")
		}
	}
	if scheme != "" {
		scheme = " " + scheme
	}
	return []byte(scheme + " " + strings.Join(out, ", "))
}

// splitParams splits at commas outside quotes.
func splitParams(s string) []string {
	var out []string
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				out = append(out, s[from:i])
				from = i + 1
			}
		}
	}
	return append(out, s[from:])
}
