package interwork

import (
	"time"

	"parley/internal/media/engine"
	"parley/internal/media/transport"
	"parley/internal/sdp"
)

// Engine carries media. Of [parley/internal/media/engine.Engine], [Real] makes one; it is called with locks held and
// must not call back.
type Engine interface {
	// Voices are the audio codecs that it can make of each other, best first, with telephone-event and CN if it has them.
	Voices() []sdp.Codec
	Transport(kind engine.Kind, c transport.Config) (Port, error)
	Bridge(kind engine.Kind, a, b engine.Leg) (Bridge, error)
}

// Port is the network side of one medium towards one end. *transport.Transport is one.
type Port interface {
	engine.Conn
	Local() transport.Local
	SetRemote(transport.Remote) error
	Stats() transport.Stats
	Close() error
}

// Bridge carries one medium between two ports. *engine.Bridge is one.
type Bridge interface {
	Update(a, b engine.Leg) error
	Stats() engine.Stats
	Close()
}

// passed are the video codecs that go through as they are, where both ends have them.
var passed = map[string]bool{"VP8": true, "VP9": true, "H264": true, "AV1": true, "H265": true, "H263": true, "H263-1998": true}

// silence is how long no packet may come from either end before a session is given up that nothing else tells the end
// of. Ends on hold send RTCP or checks of ICE, most of them; it is long for the others.
const silence = 30 * time.Minute

// orphaned is how long a session goes on after the connections of both ends are gone, so that both may come back.
const orphaned = 5 * time.Minute
