package interwork

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/media/engine"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/internal/sip"
)

// offer makes of a description that one end offers the one that the other end is offered. The lock is held.
func (l *leg) offer(from int, d *sdp.Description, to Profile) (*offer, error) {
	x, y := &l.sides[from], &l.sides[1-from]
	if len(d.Media) < l.count {
		return nil, sip.Errorf(488, "media are gone from the description")
	}
	x.learn(d)
	g := l.s.g
	out := sdp.New(y.origin, sdp.Connection{AddrType: y.origin.AddrType, Address: y.origin.Address})
	used := 0
	var failed error
	for i, m := range d.Media {
		kind, ok := kindOf(m)
		var codecs []sdp.Codec
		if ok && live(m) {
			codecs = g.offered(kind, m.Codecs(), at(y.codecs, i), to)
		}
		if !slices.ContainsFunc(codecs, carries) {
			out.Media = append(out.Media, refused(m, to))
			continue
		}
		p, err := l.s.port(y.end, i, kind)
		if err == nil {
			_, err = l.s.port(x.end, i, kind)
		}
		if err != nil {
			failed = err
			out.Media = append(out.Media, refused(m, to))
			continue
		}
		used++
		n := sdp.NewMedia(sdp.MLine{Kind: m.MLine().Kind, Ports: 1, Proto: to.proto(), Formats: formats(codecs)})
		n.AddCodecs(codecs)
		y.finish(n, i, kind, codecs)
		passTime(n, m)
		n.Add(sdp.Attribute(direction(d, m).String(), ""))
		p.Local().Describe(n, true)
		set(&y.codecs, i, codecs)
		out.Media = append(out.Media, n)
	}
	if used == 0 {
		if failed != nil {
			return nil, &sip.Error{Code: 503, Diagnostic: "no media ports", Err: failed}
		}
		if l.s.live(l) == 0 {
			return nil, sip.Errorf(488, "no medium that both ends could use")
		}
	}
	y.session(out)
	return &offer{from: from, d: d, built: y.version(out)}, nil
}

// answer makes of the description that answers o the one that answers what o was made of, and takes what was agreed upon
// into use. It always has an answer: a medium that cannot be brought together is refused. The lock is held.
func (l *leg) answer(o *offer, d *sdp.Description) *sdp.Description {
	x, y := &l.sides[o.from], &l.sides[1-o.from]
	if d != nil {
		y.learn(d)
	}
	out := sdp.New(x.origin, sdp.Connection{AddrType: x.origin.AddrType, Address: x.origin.Address})
	if t, ok := o.d.Session.First('t'); ok {
		out.Session[len(out.Session)-1].Value = t
	}
	l.count = len(o.d.Media)
	for i, m := range o.d.Media {
		n := l.agree(o, i, m, d)
		if n == nil {
			n = m.Refuse()
			l.unuse(i)
		}
		out.Media = append(out.Media, n)
	}
	x.session(out)
	return x.version(out)
}

// agree makes the answer to medium i; nil refuses it.
func (l *leg) agree(o *offer, i int, m *sdp.Media, d *sdp.Description) *sdp.Media {
	x, y := &l.sides[o.from], &l.sides[1-o.from]
	if d == nil || i >= len(d.Media) || i >= len(o.built.Media) || o.built.Media[i].MLine().Port == 0 {
		return nil
	}
	kind, ok := kindOf(m)
	a := d.Media[i]
	if ak, aok := kindOf(a); !ok || !aok || ak != kind || a.MLine().Port == 0 || len(x.ports) <= i || len(y.ports) <= i || x.ports[i] == nil || y.ports[i] == nil {
		return nil
	}
	sends, took := accepted(o.built.Media[i].Codecs(), a.Codecs())
	codecs := l.s.g.agreed(kind, m.Codecs(), took)
	if len(codecs) == 0 {
		return nil
	}
	if sdp.Secure(o.built.Media[i].MLine().Proto) && !slices.Contains(d.Keyings(a), sdp.SDES) && !slices.Contains(d.Keyings(a), sdp.DTLS) {
		return nil // asked for keys, and has none
	}
	there, err := y.remoteOf(d, a, true)
	if err != nil {
		return nil
	}
	here, err := x.remoteOf(o.d, m, false)
	if err != nil || y.ports[i].SetRemote(there) != nil || x.ports[i].SetRemote(here) != nil {
		return nil
	}
	dir := direction(d, a) & direction(o.d, m).Reverse()
	proto := m.MLine().Proto
	if x.profile == Lync && here.Keying == sdp.SDES {
		proto = strings.Replace(proto, "RTP/AVP", "RTP/SAVP", 1) // [MS-SDPEXT]; what is SAVP already stays
	}
	n := sdp.NewMedia(sdp.MLine{Kind: m.MLine().Kind, Ports: 1, Proto: proto, Formats: formats(codecs)})
	n.AddCodecs(codecs)
	x.finish(n, i, kind, codecs)
	passTime(n, a)
	if label, ok := m.Attr("label"); ok && x.profile == Lync {
		n.Add(sdp.Attribute("label", label)) // "main-audio": by this the client knows its streams
	}
	n.Add(sdp.Attribute(dir.String(), ""))
	x.ports[i].Local().Describe(n, false)
	set(&x.codecs, i, codecs)

	var legs [2]engine.Leg
	legs[o.from] = engine.Leg{Transport: x.ports[i], Receive: codecs, Send: codecs, Direction: dir, Packet: packetTime(m), Feedback: feedback(m)}
	legs[1-o.from] = engine.Leg{Transport: y.ports[i], Receive: union(sends, took), Send: took, Direction: dir.Reverse(), Packet: packetTime(a), Feedback: feedback(a)}
	l.use(i, kind, legs)
	return n
}

// use has the engine carry a medium as it was agreed upon. Of the legs of a call, the one that was answered has the
// caller's ear, before that the one that spoke last.
func (l *leg) use(i int, kind engine.Kind, legs [2]engine.Leg) {
	for len(l.media) <= i {
		l.media = append(l.media, nil)
	}
	m := l.media[i]
	if m == nil || m.kind != kind {
		m.stop()
		m = &medium{kind: kind}
		l.media[i] = m
	}
	m.legs, m.on = legs, true
	if l.s.taken != nil && l.s.taken != l {
		return
	}
	for _, o := range l.s.legs {
		if o != l && len(o.media) > i {
			o.media[i].stop()
		}
	}
	if m.bridge != nil && m.bridge.Update(legs[caller], legs[callee]) == nil {
		return
	}
	m.stop()
	e, err := l.s.g.engine()
	if err == nil {
		m.bridge, err = e.Bridge(kind, legs[caller], legs[callee])
	}
	if err != nil {
		m.bridge = nil
		l.s.g.cfg.Log.Warn("media of a call is not carried", "call", l.s.key.id, "err", err)
	}
}

// unuse ends a medium that was refused or is used no longer. The port of the caller stays while other legs have it.
func (l *leg) unuse(i int) {
	if len(l.media) > i && l.media[i] != nil {
		l.media[i].stop()
		l.media[i] = nil
	}
	shared := [2]bool{}
	for _, o := range l.s.legs {
		for side := range o.sides {
			if o != l && o.sides[side].end == l.sides[side].end {
				shared[side] = true
			}
		}
	}
	for side := range l.sides {
		if e := l.sides[side].end; !shared[side] && len(e.ports) > i && e.ports[i] != nil {
			e.ports[i].Close()
			e.ports[i] = nil
		}
	}
}

// rollback ends what an offer began that was refused: media that were not agreed upon before.
func (l *leg) rollback(o *offer) {
	for i := range o.d.Media {
		if len(l.media) <= i || l.media[i] == nil {
			l.unuse(i)
		}
	}
}

// live counts the media of a leg.
func (s *session) live(l *leg) (n int) {
	for _, m := range l.media {
		if m != nil {
			n++
		}
	}
	return n
}

// learn notes what an end's description says of how it names and bundles its media.
func (x *side) learn(d *sdp.Description) {
	for i, m := range d.Media {
		if mid := m.MID(); mid != "" {
			set(&x.mids, i, mid)
		}
	}
	for _, g := range d.Groups() {
		x.bundle = x.bundle || g.Semantics == "BUNDLE"
	}
}

// finish adds what an end of a profile wants besides.
func (x *side) finish(n *sdp.Media, i int, kind engine.Kind, codecs []sdp.Codec) {
	if x.profile == Browser || at(x.mids, i) != "" {
		if at(x.mids, i) == "" {
			set(&x.mids, i, strconv.Itoa(i))
		}
		n.Add(sdp.Attribute("mid", x.mids[i]))
	}
	if kind != engine.Video {
		return
	}
	for _, c := range codecs {
		for _, fb := range []string{"nack", "nack pli", "ccm fir"} {
			n.Add(sdp.Attribute("rtcp-fb", payload(c.Type)+" "+fb))
		}
	}
}

// session adds what an end of a profile wants in the session. A browser bundles: what has a port of its own is left out
// of the bundle, all but the first medium.
func (x *side) session(d *sdp.Description) {
	if x.profile != Browser {
		return
	}
	transport.SetLite(d, true)
	if x.last != nil && !x.bundle {
		return
	}
	for _, m := range d.Media {
		if m.MLine().Port != 0 && m.MID() != "" {
			d.Session.Add(sdp.Attribute("group", "BUNDLE "+m.MID()))
			return
		}
	}
}

// version gives a description the version it has after the last one, or returns the last one when nothing changed.
func (x *side) version(d *sdp.Description) *sdp.Description {
	first := x.origin
	first.Version = 1
	d.SetOrigin(first)
	text := string(d.Append(nil))
	if x.last != nil {
		if text == x.text {
			return x.last
		}
		x.origin.Version++
	}
	d.SetOrigin(x.origin)
	x.text, x.last = text, d
	return d
}

// direction is that of an end's medium. The address zero takes nothing (RFC 2543 B.5), unless ICE finds a better one.
func direction(d *sdp.Description, m *sdp.Media) sdp.Direction {
	dir := d.Direction(m)
	if _, ice := d.ICE(m); !ice && d.Held(m) {
		dir &^= sdp.RecvOnly
	}
	return dir
}

// refused is a medium in an offer that is not offered.
func refused(m *sdp.Media, to Profile) *sdp.Media {
	l := m.MLine()
	l.Port, l.Ports = 0, 1
	if _, ok := kindOf(m); ok {
		l.Proto = to.proto()
	}
	n := sdp.NewMedia(l)
	if mid := m.MID(); mid != "" && to == Browser {
		n.Add(sdp.Attribute("mid", mid))
	}
	return n
}

// passTime passes on how long packets of audio shall be.
func passTime(to, from *sdp.Media) {
	for _, name := range []string{"ptime", "maxptime"} {
		if v, ok := from.Attr(name); ok {
			if n, err := strconv.ParseUint(v, 10, 16); err == nil && n > 0 && n <= 200 {
				to.Add(sdp.Attribute(name, strconv.FormatUint(n, 10)))
			}
		}
	}
}

func packetTime(m *sdp.Media) time.Duration {
	v, _ := m.Attr("ptime")
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n < 10 || n > 200 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// feedback is what RTCP feedback an end understands.
func feedback(m *sdp.Media) (f engine.Feedback) {
	for v := range m.Attrs("rtcp-fb") {
		_, what, _ := strings.Cut(v, " ")
		switch strings.TrimSpace(what) {
		case "nack":
			f.NACK = true
		case "nack pli":
			f.PLI = true
		case "ccm fir":
			f.FIR = true
		case "goog-remb":
			f.REMB = true
		}
	}
	f.ReducedSize = m.Has("rtcp-rsize")
	return f
}

// union is a with what b has of payload types besides.
func union(a, b []sdp.Codec) []sdp.Codec {
	out := slices.Clone(a)
	for _, c := range b {
		if !slices.ContainsFunc(out, func(o sdp.Codec) bool { return o.Type == c.Type }) {
			out = append(out, c)
		}
	}
	return out
}

func at[T any](list []T, i int) (v T) {
	if i < len(list) {
		v = list[i]
	}
	return v
}

func set[T any](list *[]T, i int, v T) {
	var zero T
	for len(*list) <= i {
		*list = append(*list, zero)
	}
	(*list)[i] = v
}
