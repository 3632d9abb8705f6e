package sdp

import (
	"fmt"
	"strconv"
	"strings"
)

// Codec is one format of an RTP medium: a payload type and what it means.
type Codec struct {
	Type     uint8  // payload type, 0 to 127
	Name     string // "PCMU", "telephone-event"; compared without case
	Clock    int    // of the timestamp, in units a second; G.722 says 8000
	Channels int    // 1 when the line has none
	Params   string // a=fmtp, as it is
}

// static is what RFC 3551 6 gives a payload type without a=rtpmap.
var static = map[uint8]Codec{
	0: {0, "PCMU", 8000, 1, ""}, 3: {3, "GSM", 8000, 1, ""}, 4: {4, "G723", 8000, 1, ""}, 5: {5, "DVI4", 8000, 1, ""},
	6: {6, "DVI4", 16000, 1, ""}, 7: {7, "LPC", 8000, 1, ""}, 8: {8, "PCMA", 8000, 1, ""}, 9: {9, "G722", 8000, 1, ""},
	10: {10, "L16", 44100, 2, ""}, 11: {11, "L16", 44100, 1, ""}, 12: {12, "QCELP", 8000, 1, ""},
	13: {13, "CN", 8000, 1, ""}, 14: {14, "MPA", 90000, 1, ""}, 15: {15, "G728", 8000, 1, ""},
	16: {16, "DVI4", 11025, 1, ""}, 17: {17, "DVI4", 22050, 1, ""}, 18: {18, "G729", 8000, 1, ""},
	25: {25, "CelB", 90000, 1, ""}, 26: {26, "JPEG", 90000, 1, ""}, 28: {28, "nv", 90000, 1, ""},
	31: {31, "H261", 90000, 1, ""}, 32: {32, "MPV", 90000, 1, ""}, 33: {33, "MP2T", 90000, 1, ""},
	34: {34, "H263", 90000, 1, ""},
}

// Codecs returns the formats of an RTP medium in the order of its m= line, which is that of preference. Formats that
// are no payload type, or of which nobody says what they are, are left out.
func (m *Media) Codecs() []Codec {
	if !RTP(m.m.Proto) {
		return nil
	}
	// Each attribute is looked at once: formats times attributes would be a lot in a hostile description.
	maps, params := map[uint8]Codec{}, map[uint8]string{}
	for v := range m.Attrs("rtpmap") {
		if c, err := parseRTPMap(v); err == nil {
			if _, again := maps[c.Type]; !again {
				maps[c.Type] = c
			}
		}
	}
	for v := range m.Attrs("fmtp") {
		pt, rest, _ := strings.Cut(v, " ")
		if n, err := strconv.ParseUint(pt, 10, 7); err == nil {
			if _, again := params[uint8(n)]; !again {
				params[uint8(n)] = strings.TrimSpace(rest)
			}
		}
	}
	var cs []Codec
	seen := [128]bool{}
	for _, f := range m.m.Formats {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil || seen[n] {
			continue
		}
		seen[n] = true
		c, ok := maps[uint8(n)]
		if !ok {
			if c, ok = static[uint8(n)]; !ok {
				continue
			}
		}
		c.Params = params[uint8(n)]
		cs = append(cs, c)
	}
	return cs
}

// parseRTPMap reads "<type> <name>/<clock>[/<channels>]".
func parseRTPMap(v string) (Codec, error) {
	f := strings.Fields(v)
	if len(f) != 2 {
		return Codec{}, fmt.Errorf("rtpmap %q", v)
	}
	pt, err := strconv.ParseUint(f[0], 10, 7)
	name, rest, ok := strings.Cut(f[1], "/")
	clock, channels, several := strings.Cut(rest, "/")
	hz, err2 := strconv.ParseUint(clock, 10, 31)
	n := uint64(1)
	if several && err2 == nil {
		n, err2 = strconv.ParseUint(channels, 10, 8)
	}
	if err != nil || err2 != nil || !ok || name == "" || hz == 0 || n == 0 {
		return Codec{}, fmt.Errorf("rtpmap %q", v)
	}
	return Codec{uint8(pt), name, int(hz), int(n), ""}, nil
}

// RTPMap is the value of the a=rtpmap line.
func (c Codec) RTPMap() string {
	s := fmt.Sprintf("%d %s/%d", c.Type, c.Name, c.Clock)
	if c.Channels > 1 {
		s += "/" + strconv.Itoa(c.Channels)
	}
	return s
}

// AddCodecs adds the lines that describe codecs. Their types have to be in the m= line already.
func (m *Media) AddCodecs(cs []Codec) {
	for _, c := range cs {
		m.Add(Attribute("rtpmap", c.RTPMap()))
		if c.Params != "" {
			m.Add(Attribute("fmtp", fmt.Sprintf("%d %s", c.Type, c.Params)))
		}
	}
}

// Param returns a parameter of a=fmtp of the form "name=value; name=value", names without case.
func (c Codec) Param(name string) (value string, ok bool) {
	for p := range strings.SplitSeq(c.Params, ";") {
		n, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return "", false
}

// Same reports whether two formats are the same codec, whatever their payload types. For H.264 the packetization mode
// and the profile have to agree as well (RFC 6184 8.2.2).
func (c Codec) Same(o Codec) bool {
	if !strings.EqualFold(c.Name, o.Name) || c.Clock != o.Clock || c.Channels != o.Channels {
		return false
	}
	if !strings.EqualFold(c.Name, "H264") && !strings.EqualFold(c.Name, "X-H264UC") {
		return true
	}
	return c.or("packetization-mode", "0") == o.or("packetization-mode", "0") && c.profile() == o.profile()
}

func (c Codec) or(name, def string) string {
	if v, ok := c.Param(name); ok {
		return v
	}
	return def
}

// profile is the first two octets of profile-level-id: the third is the level, which may differ.
func (c Codec) profile() string {
	p := strings.ToLower(c.or("profile-level-id", "420010"))
	return p[:min(4, len(p))]
}

// RTP reports whether a protocol of an m= line carries RTP.
func RTP(proto string) bool {
	i := strings.Index(proto, "RTP/")
	return i == 0 || i > 0 && proto[i-1] == '/'
}

// Secure reports whether a protocol is one of SRTP.
func Secure(proto string) bool {
	return RTP(proto) && (strings.HasSuffix(proto, "/SAVP") || strings.HasSuffix(proto, "/SAVPF"))
}

// Feedback reports whether a protocol allows early RTCP feedback (RFC 4585).
func Feedback(proto string) bool { return RTP(proto) && strings.HasSuffix(proto, "AVPF") }
