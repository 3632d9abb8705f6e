package node

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/flow"
	"parley/internal/interwork"
	"parley/internal/media/engine"
	"parley/internal/media/opus"
	"parley/internal/media/ports"
	"parley/internal/obs"
	"parley/internal/plan"
	"parley/internal/proxy"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

// Media is the section of the node file about media that passes through this node.
type Media struct {
	Relay   bool   `toml:"relay" doc:"Carry the media of calls between ends that share no way to send it to each other: a browser and a desk phone, a phone with SRTP and one without. All other media goes from end to end. Without it such calls are refused by the end that is called." reload:"restart"`
	Address string `toml:"address" doc:"The address that descriptions name for media, where a translator of addresses stands between this node and phones or browsers; the ports must be the same on both sides. Empty: the address by which the end has reached this node." reload:"restart" example:"203.0.113.10"`
}

// mediaSection has no service: it belongs to the proxy.
var mediaSection = config.Section{Name: "media", New: func() any { return &Media{Relay: true} }, Doc: "Media that passes through this node."}

// Validate implements config.Validator.
func (m *Media) Validate() error {
	if m.Address == "" {
		return nil
	}
	if a, err := netip.ParseAddr(m.Address); err != nil || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return &config.FieldError{Key: "address", Text: "\"" + m.Address + "\" is no address that anybody could send to", Fix: `an address such as "203.0.113.10", or ""`}
	}
	return nil
}

// buildMedia makes what brings ends together, nil when it is turned off. No engine runs and no port is open before a
// call needs it.
func (n *Node) buildMedia() proxy.Media {
	set, ok := n.file.Load().Section(mediaSection.Name).(*Media)
	if !ok || !set.Relay {
		return nil
	}
	log := n.log.With(obs.KeySvc, "media")
	var fingerprint cert.Ephemeral
	advertise, _ := netip.ParseAddr(set.Address) // the zero one for ""
	n.interwork = interwork.New(interwork.Config{Log: log, Now: n.now, Listen: n.mediaAddress, Advertise: advertise,
		Certificate: fingerprint.Get,
		Start: func() (interwork.Engine, error) {
			m := n.mediaPorts()
			cfg := engine.Config{Log: log, Audio: portRange(m.Audio), Video: portRange(m.Video)}
			if n.topo.Current().Topology().Features.Has(topology.QoS) {
				cfg.DSCP = [2]uint8{engine.Audio: plan.DSCPAudio, engine.Video: plan.DSCPVideo}
			}
			e, err := engine.New(cfg)
			if err != nil {
				return nil, err
			}
			log.Info("the media engine starts", "audio", m.Audio, "video", m.Video, "opus", opus.Available())
			n.engine.Store(e)
			return interwork.Real(e, opus.Available()), nil
		}})
	n.release("media", func(context.Context) error {
		n.interwork.Close()
		if e := n.engine.Load(); e != nil {
			return e.Close()
		}
		return nil
	})
	return n.interwork
}

// mediaPorts are the ranges of this node's site.
func (n *Node) mediaPorts() topology.Media {
	snap := n.topo.Current()
	m, ok := snap.Node(n.file.Load().Node.FQDN)
	if !ok || m.Pool == nil {
		return snap.MediaAt(nil)
	}
	site, _ := snap.Site(m.Pool.Site)
	return snap.MediaAt(site)
}

func portRange(r topology.PortRange) ports.Range { return ports.Range{First: r.Start, Last: r.Last()} }

// mediaAddress is where this node listens for the media of an end: at the address by which its signalling came. Over
// UDP that is not known where a socket is open on all addresses; the kernel is asked then from where it would answer.
func (n *Node) mediaAddress(f *flow.Flow) netip.Addr {
	if a := f.Local().Addr().Unmap(); !a.IsUnspecified() {
		return a.WithZone("")
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(f.Remote()))
	if err != nil {
		return f.Local().Addr()
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// sweepMedia ends what nobody told the end of.
func (n *Node) sweepMedia(now time.Time) {
	if n.interwork != nil {
		n.interwork.Sweep(now)
	}
}

// withMedia adds to calls what passes through this node.
func (n *Node) withMedia(calls []adminapi.Call) []adminapi.Call {
	if n.interwork == nil {
		return calls
	}
	all := n.interwork.Media()
	for i := range calls {
		for _, m := range all[calls[i].CallID] {
			a := adminapi.CallMedia{Kind: m.Kind, Transcoded: m.Transcoded}
			for _, e := range m.Ends {
				a.Ends = append(a.Ends, adminapi.MediaEnd{Device: e.Profile, Codec: e.Codec, Keys: e.Keys, Packets: e.Packets, Lost: e.Lost,
					JitterMS: float64(e.Jitter) / 1e6, LossSaid: e.Loss, RoundTripMS: float64(e.RoundTrip) / 1e6})
			}
			calls[i].Media = append(calls[i].Media, a)
		}
	}
	return calls
}

// mediaMetrics shows what passes through.
func (n *Node) mediaMetrics() {
	if n.interwork == nil {
		return
	}
	m, c := n.metrics, n.interwork.Counters()
	m.Gauge("parley_media_calls", "Calls whose media passes through this node.", func() float64 { v, _, _ := n.interwork.Count(); return float64(v) })
	m.Gauge("parley_media_streams", "Media of those calls.", func() float64 { _, v, _ := n.interwork.Count(); return float64(v) })
	m.Gauge("parley_media_transcoded", "Media whose ends use different codecs.", func() float64 { _, _, v := n.interwork.Count(); return float64(v) })
	m.Counter("parley_media_calls_total", "Calls whose media passed through this node.", nil, c.Sessions.Load)
	for reason, f := range map[string]func() uint64{"retried": c.Retried.Load, "refused": c.Refused.Load, "lost": c.Lost.Load} {
		m.Counter("parley_media_events_total", "Offers made once more after a refusal, offers refused here, and calls given up because nobody told their end.",
			prometheus.Labels{"event": reason}, f)
	}
}
