package topology

import (
	"fmt"
	"slices"
)

// Feature is something that the organisation wants from the deployment. Features decide which flows, names
// and servers a plan contains; they do not replace policies, which say who may use what.
type Feature string

// The features of the planning interview.
const (
	Conferencing     Feature = "conferencing"        // meetings with web content and instant messages
	AudioVideo       Feature = "audio-video"         // audio and video in meetings
	AppSharing       Feature = "application-sharing" //
	Voice            Feature = "voice"               // calls to and from the telephone network
	DialIn           Feature = "dial-in"             // meetings by telephone
	CallPark         Feature = "call-park"           //
	ResponseGroup    Feature = "response-group"      //
	Announcement     Feature = "announcement"        // unassigned numbers
	Emergency        Feature = "emergency"           // E9-1-1
	AdmissionControl Feature = "admission-control"   //
	MediaBypass      Feature = "media-bypass"        // mode in [network]
	Chat             Feature = "persistent-chat"     //
	Mobility         Feature = "mobility"            // mobile clients
	RemoteAccess     Feature = "remote-access"       // own users from outside
	FederationAccess Feature = "federation"          // other organisations
	PublicIM         Feature = "public-im"           //
	XMPP             Feature = "xmpp"                //
	Anonymous        Feature = "anonymous"           // meetings with people who have no account
	WebApps          Feature = "office-web-apps"     //
	Monitor          Feature = "monitoring"          // call detail and quality records
	Archiving        Feature = "archiving"           //
	VoiceMail        Feature = "unified-messaging"   // voice mail on a host outside the product
	Phones           Feature = "phones"              // desk phones with DHCP bootstrap and update
	RemoteControl    Feature = "remote-call-control" //
	QoS              Feature = "qos"                 //
	LegacyClients    Feature = "legacy-clients"      // older clients: SRV sign-in, port 8058, ports 6891-6901
	LegacyFederation Feature = "legacy-federation"   // partners that need 50000-59999 inbound
)

// AllFeatures lists every feature, in the order of the interview.
func AllFeatures() []Feature {
	return []Feature{Conferencing, AudioVideo, AppSharing, Voice, DialIn, CallPark, ResponseGroup, Announcement, Emergency,
		AdmissionControl, MediaBypass, Chat, Mobility, RemoteAccess, FederationAccess, PublicIM, XMPP, Anonymous, WebApps,
		Monitor, Archiving, VoiceMail, Phones, RemoteControl, QoS, LegacyClients, LegacyFederation}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Feature) UnmarshalText(b []byte) error { return oneOf(f, "feature", b, AllFeatures()) }

// Features is a set of features, written as an array.
type Features []Feature

// Has reports whether f is wanted.
func (fs Features) Has(f Feature) bool { return slices.Contains(fs, f) }

// needs lists what a feature cannot do without.
var needs = map[Feature][]Feature{
	AudioVideo:       {Conferencing},
	AppSharing:       {Conferencing},
	DialIn:           {Conferencing, Voice},
	CallPark:         {Voice},
	ResponseGroup:    {Voice},
	Announcement:     {Voice},
	Emergency:        {Voice},
	MediaBypass:      {Voice},
	WebApps:          {Conferencing},
	PublicIM:         {FederationAccess},
	XMPP:             {FederationAccess},
	Anonymous:        {Conferencing},
	LegacyFederation: {FederationAccess},
}

// missing returns a sentence for the first feature whose need is not met.
func (fs Features) missing() (index int, text string) {
	for i, f := range fs {
		for _, n := range needs[f] {
			if !fs.Has(n) {
				return i, fmt.Sprintf("feature %q needs %q", f, n)
			}
		}
	}
	return 0, ""
}
