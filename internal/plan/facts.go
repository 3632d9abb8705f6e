package plan

import (
	"maps"
	"slices"
)

// Fact is a row of the Edge and reverse proxy tables, which the port table does not have: what the two
// firewalls around the perimeter let through. The ids begin with edge- or proxy-.
type Fact struct {
	Transports []string
	Ports      Range
	Protocol   string
	Purpose    string
}

func tcp(port uint16, protocol, purpose string) Fact {
	return Fact{[]string{"tcp"}, Range{port, port}, protocol, purpose}
}

func udp(port uint16, protocol, purpose string) Fact {
	return Fact{[]string{"udp"}, Range{port, port}, protocol, purpose}
}

var facts = map[string]Fact{
	// The outer firewall.
	"edge-ext-access-5061-in":  tcp(5061, "SIP/MTLS", "Federation and public instant messaging, incoming."),
	"edge-ext-access-5061-out": tcp(5061, "SIP/MTLS", "Federation and public instant messaging, outgoing."),
	"edge-ext-access-80-out":   tcp(80, "HTTP", "Certificate revocation lists."),
	"edge-ext-access-53-out":   {[]string{"tcp", "udp"}, Range{53, 53}, "DNS", "Name lookup."},
	"edge-ext-av-3478-out":     udp(3478, "STUN", "Version probe of peer Edges, media between Edges, federation with older partners."),
	"edge-ext-av-443-out":      tcp(443, "STUN", "Relay negotiation with peer Edges."),
	"edge-ext-av-range-out":    {[]string{"tcp", "udp"}, Range{50000, 59999}, "SRTP", "Relayed media."},
	"edge-ext-av-range-in":     {[]string{"tcp", "udp"}, Range{50000, 59999}, "SRTP", "Relayed media from very old federation partners only."},
	"edge-ext-xmpp-5269-in":    tcp(5269, "XMPP", "XMPP federation, incoming."),
	"edge-ext-xmpp-5269-out":   tcp(5269, "XMPP", "XMPP federation, outgoing."),

	// The inner firewall.
	"edge-int-sip-5061-out":   tcp(5061, "SIP/MTLS", "SIP from inside to the Access service."),
	"edge-int-sip-5061-in":    tcp(5061, "SIP/MTLS", "SIP from the Access service to the next hop."),
	"edge-int-psom-8057":      tcp(8057, "PSOM/MTLS", "Web conferencing, opened from inside."),
	"edge-int-auth-5062":      tcp(5062, "SIP/MTLS", "Credentials for the media relay. On a Front End the same number is the instant-message conferencing server."),
	"edge-int-stun-3478":      udp(3478, "STUN", "Media relay, preferred path."),
	"edge-int-stun-443":       tcp(443, "STUN", "Media relay, fallback path; file transfer and application sharing."),
	"edge-int-replicate-4443": tcp(4443, "HTTPS", "Configuration from the Front End that owns it."),
	"edge-int-logging-50001":  {[]string{"tcp"}, Range{50001, 50003}, "MTLS", "Central logging: control and collection."},
	"edge-int-xmpp-23456":     tcp(23456, "XMPP/MTLS", "XMPP gateway."),

	// The reverse proxy.
	"proxy-ext-80":   tcp(80, "HTTP", "Redirect to HTTPS, and the first discovery request of some mobile clients."),
	"proxy-ext-443":  tcp(443, "HTTPS", "Address book, meeting content, meet and dial-in pages, discovery, mobility, presentations."),
	"proxy-int-8080": tcp(8080, "HTTP", "What arrived on 80, forwarded to the external web site."),
	"proxy-int-4443": tcp(4443, "HTTPS", "What arrived on 443, forwarded to the external web site."),
	"proxy-int-443":  tcp(443, "HTTPS", "Presentations from the farm."),

	// What the port table leaves out.
	"mobility-5088": tcp(5088, "SIP/MTLS", "Mobile clients of branch users, external web site."),
	"mobility-5089": tcp(5089, "SIP/MTLS", "Mobile clients of branch users, internal web site."),
	"chat-8011":     tcp(8011, "MTLS", "Between the servers of a chat pool."),
}

// FactByID is the row of the Edge and proxy tables with that id.
func FactByID(id string) (Fact, bool) { f, ok := facts[id]; return f, ok }

// FactIDs lists the ids, sorted.
func FactIDs() []string { return slices.Sorted(maps.Keys(facts)) }
