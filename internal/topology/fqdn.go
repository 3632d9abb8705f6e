package topology

import (
	"fmt"
	"net/url"
	"strings"
)

// FQDN is a fully qualified host or domain name in canonical form: lower case, no dot at the end. The product
// allows letters, digits and hyphens only, and at least two labels.
type FQDN string

// ParseFQDN checks a name and returns its canonical form.
func ParseFQDN(s string) (FQDN, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	wrong := func(why string) error {
		return fmt.Errorf("%q is not a fully qualified name: %s; an example is server1.example.test", s, why)
	}
	switch {
	case name == "":
		return "", wrong("it is empty")
	case len(name) > 253:
		return "", wrong("it is longer than 253 characters")
	case !strings.Contains(name, "."):
		return "", wrong("it has a single label")
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "", wrong("it has an empty label")
		case len(label) > 63:
			return "", wrong("a label is longer than 63 characters")
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", wrong("a label begins or ends with a hyphen")
		}
		for _, c := range label {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return "", wrong(fmt.Sprintf("%q is not allowed, only letters, digits and hyphens are", c))
			}
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", wrong("it is an address, not a name")
	}
	return FQDN(name), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *FQDN) UnmarshalText(b []byte) error {
	name, err := ParseFQDN(string(b))
	if err == nil {
		*f = name
	}
	return err
}

// Within reports whether the name is domain or lies below it.
func (f FQDN) Within(domain FQDN) bool {
	return f == domain || strings.HasSuffix(string(f), "."+string(domain))
}

// URL is the address of a web page that people see: https, a host name and perhaps a path; no port.
type URL struct {
	Host FQDN
	Path string // empty, or begins with a slash and does not end with one
}

// ParseURL checks an address against the rules for simple URLs.
func ParseURL(s string) (URL, error) {
	wrong := func(why string) error {
		return fmt.Errorf("%q cannot be a simple URL: %s; an example is https://meet.example.test", s, why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return URL{}, wrong("it does not parse")
	case u.Scheme != "https":
		return URL{}, wrong("it must begin with https://")
	case u.Port() != "":
		return URL{}, wrong("it may not name a port")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return URL{}, wrong("only a host and a path are allowed")
	}
	host, err := ParseFQDN(u.Hostname())
	if err != nil {
		return URL{}, err
	}
	for _, c := range u.Path {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '/') {
			return URL{}, wrong(fmt.Sprintf("%q is not allowed in the path, only letters, digits and dots are", c))
		}
	}
	return URL{Host: host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *URL) UnmarshalText(b []byte) error {
	v, err := ParseURL(string(b))
	if err == nil {
		*u = v
	}
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// String is the address as typed, or empty for the zero URL.
func (u URL) String() string {
	if u.IsZero() {
		return ""
	}
	return "https://" + string(u.Host) + u.Path
}

// IsZero reports whether there is no address.
func (u URL) IsZero() bool { return u.Host == "" }
