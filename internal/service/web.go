package service

import (
	"net/http"

	"parley/internal/cert"
	"parley/internal/contract/usercert"
	"parley/internal/uc"
	"parley/internal/webticket"
)

// Web is what services with Paths get of the web front.
type Web struct {
	// Login finds out who sends a request by HTTP authentication; ok is false when it has answered already.
	Login func(w http.ResponseWriter, r *http.Request) (aor uc.AOR, ok bool)
	// Tickets are the web tickets of the pool.
	Tickets *webticket.Issuer
	// UserCA issues certificates of users, and Certificates knows those that are good.
	UserCA       *cert.CA
	Certificates *usercert.Registry
	// URL is how clients inside, or outside by the reverse proxy, reach a path. It is empty when no service of the
	// node serves the path, or nobody gets there.
	URL func(path string, external bool) string
	// WebSocket takes WebSockets that carry SIP (RFC 7118) from pages of the host that was asked.
	WebSocket http.Handler
	// SIPPort is where the node takes SIP over TLS.
	SIPPort func() uint16
}
