package adminapi

// CallMedia is one medium of a call that passes through the node; media that goes from end to end is not listed.
type CallMedia struct {
	Kind       string     `json:"kind"` // "audio" or "video"
	Transcoded bool       `json:"transcoded"`
	Ends       []MediaEnd `json:"ends"` // the caller's and the called one's
}

// MediaEnd is one end of it.
type MediaEnd struct {
	Device      string  `json:"device"` // "WebRTC", "phone", "phone with SRTP", "Lync"
	Codec       string  `json:"codec"`
	Keys        string  `json:"keys"`    // "none", or the SRTP profile
	Packets     uint64  `json:"packets"` // received from it
	Lost        uint64  `json:"lost"`    // of what it sent
	JitterMS    float64 `json:"jitter_ms"`
	LossSaid    float64 `json:"loss_said"` // the share of what was sent to it that it says it lost of late
	RoundTripMS float64 `json:"round_trip_ms"`
}
