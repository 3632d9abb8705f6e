package topology

import "fmt"

// PortRange is a run of ports, stored as the product does: where it starts and how many there are.
type PortRange struct {
	Start uint16 `toml:"start"`
	Count uint16 `toml:"count"`
}

// Last is the last port of the range.
func (r PortRange) Last() uint16 { return r.Start + r.Count - 1 }

// IsZero reports whether the range is not set.
func (r PortRange) IsZero() bool { return r == PortRange{} }

// Overlaps reports whether the ranges share a port.
func (r PortRange) Overlaps(o PortRange) bool {
	return r.Count > 0 && o.Count > 0 && r.Start <= o.Last() && o.Start <= r.Last()
}

// String is "first-last".
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.Start, r.Last()) }

// Media is the conferencing configuration that concerns ports: of servers always, of clients when enabled.
// Values that are not set come from the wider scope, at last from DefaultMedia.
type Media struct {
	Audio      PortRange `toml:"audio,omitempty"` // of servers
	Video      PortRange `toml:"video,omitempty"`
	AppSharing PortRange `toml:"application-sharing,omitempty"`

	// ClientRanges makes clients keep to their ranges; otherwise they use any port from 1024 up.
	ClientRanges     *bool     `toml:"client-ranges,omitempty"`
	ClientSIP        PortRange `toml:"client-sip,omitempty"`
	ClientMedia      PortRange `toml:"client-media,omitempty"`
	ClientAudio      PortRange `toml:"client-audio,omitempty"`
	ClientVideo      PortRange `toml:"client-video,omitempty"`
	ClientAppSharing PortRange `toml:"client-application-sharing,omitempty"`
	ClientFile       PortRange `toml:"client-file-transfer,omitempty"`
}

// MinClientPorts is the least number of ports of a client range for audio or video.
const MinClientPorts = 20

// DefaultMedia is the configuration of a deployment that sets nothing.
func DefaultMedia() Media {
	off := false
	client := PortRange{5350, 40}
	return Media{
		Audio: PortRange{49152, 8348}, Video: PortRange{57501, 8034}, AppSharing: PortRange{49152, 16383},
		ClientRanges: &off, ClientSIP: PortRange{7100, 3}, ClientMedia: client, ClientAudio: client,
		ClientVideo: client, ClientAppSharing: client, ClientFile: client,
	}
}

// ClientRangesOn reports whether clients keep to their ranges.
func (m Media) ClientRangesOn() bool { return m.ClientRanges != nil && *m.ClientRanges }

// forClients reports whether anything is set that clients are told.
func (m Media) forClients() bool {
	m.Audio, m.Video, m.AppSharing = PortRange{}, PortRange{}, PortRange{}
	return m != Media{}
}

// over returns m with the values it lacks taken from wide.
func (m Media) over(wide Media) Media {
	pick := func(narrow, wide PortRange) PortRange {
		if narrow.IsZero() {
			return wide
		}
		return narrow
	}
	if m.ClientRanges == nil {
		m.ClientRanges = wide.ClientRanges
	}
	m.Audio, m.Video, m.AppSharing = pick(m.Audio, wide.Audio), pick(m.Video, wide.Video), pick(m.AppSharing, wide.AppSharing)
	m.ClientSIP, m.ClientMedia = pick(m.ClientSIP, wide.ClientSIP), pick(m.ClientMedia, wide.ClientMedia)
	m.ClientAudio, m.ClientVideo = pick(m.ClientAudio, wide.ClientAudio), pick(m.ClientVideo, wide.ClientVideo)
	m.ClientAppSharing, m.ClientFile = pick(m.ClientAppSharing, wide.ClientAppSharing), pick(m.ClientFile, wide.ClientFile)
	return m
}
