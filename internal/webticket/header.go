package webticket

import (
	"errors"
	"strings"
	"time"

	"parley/internal/xmldoc"
)

// Header reads a SOAP envelope and checks the ticket in its header, which is taken
// as it is: who shows it need not prove to have its key. It must be for one of
// the services. When only the ticket is at fault, the envelope is returned too.
func (i *Issuer) Header(doc []byte, now time.Time, audiences ...string) (*Ticket, *xmldoc.Element, error) {
	envelope, err := xmldoc.Parse(doc, limits)
	if err != nil {
		return nil, nil, err
	}
	assertion := Path(envelope, "Header", "Security", "Assertion")
	if assertion == nil {
		return nil, envelope, ErrNone
	}
	t, err := i.forOne(assertion, now, audiences)
	return t, envelope, err
}

// forOne opens an assertion that must be for one of the services.
func (i *Issuer) forOne(assertion *xmldoc.Element, now time.Time, audiences []string) (t *Ticket, err error) {
	err = ErrAudience
	for _, a := range audiences {
		if t, err = i.open(assertion, strings.ToLower(a), now); !errors.Is(err, ErrAudience) {
			return t, err
		}
	}
	return nil, err
}
