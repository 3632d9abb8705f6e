package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// Keying is how the keys of a medium are agreed upon.
type Keying uint8

// Keyings.
const (
	Plain Keying = iota // none: RTP
	SDES                // a=crypto
	DTLS                // a=fingerprint
)

// String names the keying.
func (k Keying) String() string { return [...]string{"plain", "SDES", "DTLS"}[min(k, DTLS)] }

// Keyings returns what a medium of d offers, best first. A secure protocol excludes Plain, and so does
// a=encryption:required; RTP/AVP with a=crypto or a=fingerprint leaves the choice (MS-SDPEXT, RFC 8643), unless
// a=encryption:rejected takes it back.
func (d *Description) Keyings(m *Media) []Keying {
	var ks []Keying
	encryption, _ := m.Attr("encryption")
	if encryption != "rejected" || Secure(m.m.Proto) {
		if len(d.Fingerprints(m)) > 0 {
			ks = append(ks, DTLS)
		}
		if len(m.Cryptos()) > 0 && !strings.HasPrefix(m.m.Proto, "UDP/TLS/") {
			ks = append(ks, SDES)
		}
	}
	if !Secure(m.m.Proto) && !strings.Contains(m.m.Proto, "TLS") && encryption != "required" {
		ks = append(ks, Plain)
	}
	return ks
}

// Local is what this side can do with a medium.
type Local struct {
	Codecs    []Codec   // of RTP; payload types do not matter, the offer's are taken
	Formats   []string  // of other protocols: "webrtc-datachannel"
	Direction Direction // of RTP; other protocols flow as they are offered
	Keyings   []Keying  // in order of preference
	// SavpForAvp answers RTP/SAVP to RTP/AVP when SRTP is chosen, as MS-SDPEXT wants. RFC 3264 has the protocol of the
	// offer (and RFC 8643 for this very case).
	SavpForAvp bool
}

// Choice is what both sides can do.
type Choice struct {
	Codecs    []Codec  // the offer's order, payload types and parameters
	Formats   []string // those of Codecs, or of another protocol
	Direction Direction
	Keying    Keying
	Proto     string
}

// Choose finds what both sides can do with a medium of an offer (RFC 3264 6.1). ok is false when the medium has to be
// refused: it is not offered (port zero, unless it is bundled), no codec or format is shared, or no keying is. Codecs that only
// accompany another (telephone-event, CN, red, rtx, fec) are not enough.
func (d *Description) Choose(m *Media, local Local) (c Choice, ok bool) {
	if m.m.Port == 0 && !m.Has("bundle-only") {
		return Choice{}, false
	}
	offered := d.Keyings(m)
	at := slices.IndexFunc(local.Keyings, func(k Keying) bool { return slices.Contains(offered, k) })
	if at < 0 {
		return Choice{}, false
	}
	c = Choice{Keying: local.Keyings[at], Proto: m.m.Proto, Direction: d.Direction(m).Reverse() & local.Direction}
	speaks := false
	for _, o := range m.Codecs() {
		if slices.ContainsFunc(local.Codecs, o.Same) {
			c.Codecs = append(c.Codecs, o)
			c.Formats = append(c.Formats, strconv.Itoa(int(o.Type)))
			speaks = speaks || !o.companion()
		}
	}
	if !RTP(m.m.Proto) {
		c.Direction = d.Direction(m).Reverse()
		for _, f := range m.m.Formats {
			if slices.Contains(local.Formats, f) {
				c.Formats = append(c.Formats, f)
				speaks = true
			}
		}
	}
	if !speaks {
		return Choice{}, false
	}
	if local.SavpForAvp && c.Keying != Plain {
		if rest, ok := strings.CutSuffix(c.Proto, "/AVP"); ok {
			c.Proto = rest + "/SAVP"
		} else if rest, ok := strings.CutSuffix(c.Proto, "/AVPF"); ok {
			c.Proto = rest + "/SAVPF"
		}
	}
	return c, true
}

// companion reports whether a codec carries no speech or picture of its own.
func (c Codec) companion() bool {
	switch strings.ToLower(c.Name) {
	case "telephone-event", "cn", "red", "rtx", "ulpfec", "flexfec-03", "x-ulpfecuc":
		return true
	}
	return false
}

// New returns a session without media.
func New(o Origin, c Connection) *Description {
	return &Description{Session: Lines{
		NewLine('v', "0"), NewLine('o', o.String()), NewLine('s', "-"), NewLine('c', c.String()), NewLine('t', "0 0"),
	}}
}

// Answer returns the answer to an offer: one media description for each of the offer, in its order (RFC 3264 6), with
// t= as offered. accept is called for each; it returns the description to be used, as Accept makes one, or nil to
// refuse. What bundles in the offer and is accepted bundles in the answer when it says a=mid.
func Answer(offer *Description, o Origin, c Connection, accept func(i int, m *Media) *Media) *Description {
	a := New(o, c)
	if t, ok := offer.Session.First('t'); ok {
		a.Session.replace('t', t, "")
	}
	var mids []string
	for i, m := range offer.Media {
		x := accept(i, m)
		if x == nil {
			a.Media = append(a.Media, m.Refuse())
			continue
		}
		a.Media = append(a.Media, x)
		if mid := x.MID(); mid != "" && mid == m.MID() {
			mids = append(mids, mid)
		}
	}
	for _, g := range offer.Groups() {
		if g.Semantics != "BUNDLE" {
			continue
		}
		both := slices.DeleteFunc(slices.Clone(g.MIDs), func(mid string) bool { return !slices.Contains(mids, mid) })
		a.Session.Add(Attribute("group", strings.Join(append([]string{"BUNDLE"}, both...), " ")))
		break
	}
	return a
}

// Accept returns the media description that answers m with a choice, on a port. Candidates, keys and whatever else
// the transport needs are added by the caller.
func (m *Media) Accept(c Choice, port uint16) *Media {
	a := NewMedia(MLine{Kind: m.m.Kind, Port: port, Ports: 1, Proto: c.Proto, Formats: slices.Clone(c.Formats)})
	if mid := m.MID(); mid != "" {
		a.Add(Attribute("mid", mid))
	}
	if a.AddCodecs(c.Codecs); RTP(c.Proto) || c.Direction != SendRecv {
		a.Add(Attribute(c.Direction.String(), ""))
	}
	return a
}

// Refuse returns the media description that refuses m: port zero, its protocol and formats (RFC 3264 6).
func (m *Media) Refuse() *Media {
	l := m.m
	l.Port, l.Ports = 0, 1
	r := NewMedia(l)
	if mid := m.MID(); mid != "" {
		r.Add(Attribute("mid", mid))
	}
	return r
}

// CheckAnswer reports what makes an answer one that does not belong to the offer (RFC 3264 6, RFC 9143 7.3). The call
// cannot go on with it.
func CheckAnswer(offer, answer *Description) error {
	if len(answer.Media) != len(offer.Media) {
		return wrong(0, "%d media answer %d", len(answer.Media), len(offer.Media))
	}
	var live []string
	for i, o := range offer.Media {
		a := answer.Media[i]
		if a.m.Kind != o.m.Kind {
			return wrong(0, "medium %d is %s, %s was offered", i+1, a.m.Kind, o.m.Kind)
		}
		if a.m.Port == 0 {
			continue
		}
		if o.m.Port == 0 && !o.Has("bundle-only") {
			return wrong(0, "medium %d is accepted and was not offered", i+1)
		}
		if RTP(a.m.Proto) != RTP(o.m.Proto) || Secure(o.m.Proto) && !Secure(a.m.Proto) {
			return wrong(0, "medium %d is %s, %s was offered", i+1, a.m.Proto, o.m.Proto)
		}
		if d, od := answer.Direction(a), offer.Direction(o); d&^od.Reverse() != 0 {
			return wrong(0, "medium %d is %s, %s was offered", i+1, d, od)
		}
		if RTP(o.m.Proto) {
			// The answer may use other payload types for the same codec (RFC 3264 6.1), but some codec has to be shared.
			offered, shared := o.Codecs(), false
			for _, c := range a.Codecs() {
				shared = shared || slices.ContainsFunc(offered, func(x Codec) bool {
					return strings.EqualFold(x.Name, c.Name) && x.Clock == c.Clock
				})
			}
			if !shared {
				return wrong(0, "medium %d has no codec that was offered", i+1)
			}
		}
		live = append(live, a.MID())
	}
	bundles := func(d *Description) (mids []string) {
		for _, g := range d.Groups() {
			if g.Semantics == "BUNDLE" {
				mids = append(mids, g.MIDs...)
			}
		}
		return mids
	}
	offered := bundles(offer)
	for _, mid := range bundles(answer) {
		if !slices.Contains(offered, mid) || !slices.Contains(live, mid) {
			return wrong(0, "%.40q is bundled, and was not offered or is refused", mid)
		}
	}
	return nil
}

// CheckChange reports what makes a later description of a session one that cannot follow an earlier one of the same
// side (RFC 3264 8): media that are gone or changed their kind, another session, or a version that did not grow by
// one while something changed.
func CheckChange(before, after *Description) error {
	b, err := before.Origin()
	if err != nil {
		return err
	}
	a, err := after.Origin()
	if err != nil {
		return err
	}
	version := a.Version
	a.Version = b.Version
	if a != b {
		return wrong(0, "o= is that of another session")
	}
	if len(after.Media) < len(before.Media) {
		return wrong(0, "%d media follow %d", len(after.Media), len(before.Media))
	}
	for i, m := range before.Media {
		if n := after.Media[i]; m.m.Kind != n.m.Kind && m.m.Port != 0 {
			return wrong(0, "medium %d was %s and is %s", i+1, m.m.Kind, n.m.Kind)
		}
	}
	same := string(before.Append(nil)) == string(after.Append(nil))
	if same || version == b.Version+1 {
		return nil
	}
	return wrong(0, "version %d follows %d", version, b.Version)
}
