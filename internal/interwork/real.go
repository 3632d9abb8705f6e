package interwork

import (
	"parley/internal/media/engine"
	"parley/internal/media/transport"
	"parley/internal/sdp"
)

// real is the media engine as an Engine.
type real struct {
	*engine.Engine
	voices []sdp.Codec
}

// Real makes an Engine of the media engine. Opus says whether it has that codec.
func Real(e *engine.Engine, opus bool) Engine {
	r := &real{Engine: e}
	if opus {
		r.voices = append(r.voices, sdp.Codec{Type: 111, Name: "opus", Clock: 48000, Channels: 2, Params: "minptime=10;useinbandfec=1"})
	}
	r.voices = append(r.voices,
		sdp.Codec{Type: 9, Name: "G722", Clock: 8000, Channels: 1},
		sdp.Codec{Type: 0, Name: "PCMU", Clock: 8000, Channels: 1},
		sdp.Codec{Type: 8, Name: "PCMA", Clock: 8000, Channels: 1},
		sdp.Codec{Type: 101, Name: "telephone-event", Clock: 8000, Channels: 1, Params: "0-16"},
		sdp.Codec{Type: 110, Name: "telephone-event", Clock: 48000, Channels: 1, Params: "0-16"},
		sdp.Codec{Type: 13, Name: "CN", Clock: 8000, Channels: 1})
	return r
}

// Voices implements Engine.
func (r *real) Voices() []sdp.Codec { return r.voices }

// Transport implements Engine.
func (r *real) Transport(kind engine.Kind, c transport.Config) (Port, error) {
	t, err := r.Engine.Transport(kind, c)
	if err != nil {
		return nil, err // not a nil *Transport in an interface
	}
	return t, nil
}

// Bridge implements Engine.
func (r *real) Bridge(kind engine.Kind, a, b engine.Leg) (Bridge, error) {
	x, err := r.Engine.Bridge(kind, a, b)
	if err != nil {
		return nil, err
	}
	return x, nil
}
