package topology

import "net/netip"

// BypassMode says when media goes from client to gateway without passing Mediation.
type BypassMode string

// The modes of media bypass. Always excludes admission control, which needs to know where media goes.
const (
	BypassOff    BypassMode = ""
	BypassAlways BypassMode = "always"
	BypassSites  BypassMode = "sites" // where the network model says that both ends are near
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *BypassMode) UnmarshalText(b []byte) error {
	if string(b) == "off" {
		*m = BypassOff
		return nil
	}
	return oneOf(m, "mode of media bypass", b, []BypassMode{BypassAlways, BypassSites})
}

// Network is the model of the wide area network that admission control and media bypass reason about. Its
// sites and regions are not the sites of the topology.
type Network struct {
	Bypass    BypassMode       `toml:"media-bypass,omitempty"`
	Regions   []NetworkRegion  `toml:"region,omitempty"`
	Sites     []NetworkSite    `toml:"site,omitempty"`
	Subnets   []Subnet         `toml:"subnet,omitempty"`
	Links     []RegionLink     `toml:"link,omitempty"`
	Routes    []RegionRoute    `toml:"route,omitempty"`
	InterSite []InterSiteLimit `toml:"inter-site,omitempty"`
}

// NetworkRegion is a part of the backbone, owned by one central site.
type NetworkRegion struct {
	Name        string `toml:"name"`
	CentralSite string `toml:"central-site,omitempty"`
	// NoInternetAudio and NoInternetVideo forbid the way round through the Edges when a link is full.
	NoInternetAudio bool `toml:"no-internet-audio,omitempty"`
	NoInternetVideo bool `toml:"no-internet-video,omitempty"`
}

// NetworkSite is a place with a link of limited bandwidth.
type NetworkSite struct {
	Name   string    `toml:"name"`
	Region string    `toml:"region,omitempty"`
	Limit  Bandwidth `toml:"limit,omitempty"` // absent means unconstrained
}

// Subnet tells at which network site an address is.
type Subnet struct {
	Network netip.Prefix `toml:"network"`
	Site    string       `toml:"site"`
}

// Bandwidth limits audio and video on a link, in kbit/s in one direction. Zero means no limit.
type Bandwidth struct {
	Audio        int `toml:"audio,omitempty"`
	AudioSession int `toml:"audio-session,omitempty"` // at least 40
	Video        int `toml:"video,omitempty"`
	VideoSession int `toml:"video-session,omitempty"` // at least 100
}

// RegionLink joins two regions.
type RegionLink struct {
	Name  string    `toml:"name"`
	From  string    `toml:"from"`
	To    string    `toml:"to"`
	Limit Bandwidth `toml:"limit,omitempty"`
}

// RegionRoute names the links between two regions, in order.
type RegionRoute struct {
	From  string   `toml:"from"`
	To    string   `toml:"to"`
	Links []string `toml:"links"`
}

// InterSiteLimit limits a direct line between two network sites.
type InterSiteLimit struct {
	From  string    `toml:"from"`
	To    string    `toml:"to"`
	Limit Bandwidth `toml:"limit,omitempty"`
}
