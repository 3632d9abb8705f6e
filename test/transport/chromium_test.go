package transport

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/cert"
	"parley/internal/media/ports"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/test/browser"
	"parley/test/parleytest"
)

// buildDir is where programs are built.
var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "transport"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(buildDir)
		os.Exit(code)
	}))
}

//go:embed testdata/page.html
var page []byte

// patience bounds one step. It is long because machines that test are busy.
const patience = 2 * time.Minute

var (
	here = netip.MustParseAddr("127.0.0.1")

	audioCodecs = []sdp.Codec{{Name: "opus", Clock: 48000, Channels: 2}}
	videoCodecs = []sdp.Codec{{Name: "VP8", Clock: 90000, Channels: 1}}
)

// echo sends everything back under another SSRC, and asks for a picture that can be shown by itself now and then.
type echo struct {
	x     *transport.Transport
	video bool

	mu    sync.Mutex
	asked time.Time
}

func (e *echo) RTP(pkt []byte, now time.Time) {
	ssrc := binary.BigEndian.Uint32(pkt[8:])
	e.mu.Lock()
	ask := e.video && now.Sub(e.asked) > time.Second
	if ask {
		e.asked = now
	}
	e.mu.Unlock()
	if ask {
		pli := binary.BigEndian.AppendUint32([]byte{0x81, 206, 0, 2}, ^ssrc)
		_ = e.x.WriteRTCP(binary.BigEndian.AppendUint32(pli, ssrc))
	}
	binary.BigEndian.PutUint32(pkt[8:], ^ssrc)
	_ = e.x.WriteRTP(pkt) // counted
}

func (e *echo) RTCP([]byte, time.Time) {}

// mirror is a page's other side: a transport for each medium, which echoes.
type mirror struct {
	t      *testing.T
	config transport.Config
	ice    transport.ICEMode

	mu         sync.Mutex
	transports []*transport.Transport
	version    uint64
}

func newMirror(t *testing.T, mode transport.ICEMode, mux bool) (*mirror, *httptest.Server) {
	pool, err := ports.New(ports.Range{First: 49152, Last: 57500}, ports.Reuse)
	if err != nil {
		t.Fatal(err)
	}
	var identity cert.Ephemeral
	m := &mirror{t: t, config: transport.Config{Ports: pool, Listen: here, Mux: mux, Security: sdp.DTLS, ICE: mode, Certificate: identity.Get}}
	s := httptest.NewServer(m)
	t.Cleanup(func() {
		s.Close()
		for _, x := range m.transports {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return m, s
}

// transport returns the one of a medium, and makes it when it is the first time.
func (m *mirror) transport(i int, kind string) *transport.Transport {
	for len(m.transports) <= i {
		x, err := transport.New(m.config)
		if err != nil {
			panic(err)
		}
		x.Handle(&echo{x: x, video: kind == "video"})
		m.transports = append(m.transports, x)
	}
	return m.transports[i]
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var out []byte
	switch r.Method + r.URL.Path {
	case "POST/offer":
		out, err = m.answer(body)
	case "GET/call":
		out = m.offer()
	case "POST/call":
		err = m.answered(body)
	case "GET/":
		out = page
	}
	if err != nil {
		m.t.Log(err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(out)
}

func (m *mirror) origin() sdp.Origin {
	m.version++
	return sdp.Origin{User: "-", ID: "1", Version: m.version, AddrType: "IP4", Address: here.String()}
}

func codecs(kind string) []sdp.Codec {
	if kind == "video" {
		return videoCodecs
	}
	return audioCodecs
}

func (m *mirror) answer(body []byte) ([]byte, error) {
	offer, err := sdp.Parse(body)
	if err != nil {
		return nil, err
	}
	answer := sdp.Answer(offer, m.origin(), sdp.ConnectionTo(here), func(i int, o *sdp.Media) *sdp.Media {
		choice, ok := offer.Choose(o, sdp.Local{Codecs: codecs(o.MLine().Kind), Direction: sdp.SendRecv, Keyings: []sdp.Keying{sdp.DTLS}})
		remote, rerr := transport.RemoteOf(offer, o, sdp.DTLS)
		if !ok || rerr != nil {
			err = fmt.Errorf("the offer of %s: %v", o.MLine().Kind, rerr)
			return nil
		}
		x := m.transport(i, o.MLine().Kind)
		if serr := x.SetRemote(remote); serr != nil {
			err = serr
			return nil
		}
		l := x.Local()
		a := o.Accept(choice, l.RTP)
		l.Describe(a, false)
		a.Set("mid", o.MID())
		return a
	})
	answer.Session.Remove("group") // each medium has its own ports
	transport.SetLite(answer, m.config.ICE == transport.Lite)
	return answer.Append(nil), err
}

func (m *mirror) offer() []byte {
	d := sdp.New(m.origin(), sdp.ConnectionTo(here))
	for i, kind := range []string{"audio", "video"} {
		c := codecs(kind)[0]
		c.Type = uint8(96 + i)
		x := sdp.NewMedia(sdp.MLine{Kind: kind, Port: 9, Ports: 1, Proto: "UDP/TLS/RTP/SAVPF", Formats: []string{fmt.Sprint(c.Type)}})
		x.AddCodecs([]sdp.Codec{c})
		x.Add(sdp.Attribute("mid", fmt.Sprint(i)), sdp.Attribute("sendrecv", ""))
		m.transport(i, kind).Local().Describe(x, true)
		d.Media = append(d.Media, x)
	}
	transport.SetLite(d, m.config.ICE == transport.Lite)
	return d.Append(nil)
}

func (m *mirror) answered(body []byte) error {
	d, err := sdp.Parse(body)
	if err != nil {
		return err
	}
	for i, x := range d.Media {
		r, err := transport.RemoteOf(d, x, sdp.DTLS)
		if err != nil {
			return err
		}
		r.Answer = true
		if err := m.transports[i].SetRemote(r); err != nil {
			return err
		}
	}
	return nil
}

// TestChromium: a page and a transport exchange voice and pictures, whoever offers, with every kind of ICE and through a
// restart of it.
func TestChromium(t *testing.T) {
	parleytest.Need(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	b, err := browser.Start(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, x := range []struct {
		name string
		ice  transport.ICEMode
		mux  bool
		call string
	}{
		{"offers to full", transport.Full, true, `offer("/offer")`},
		{"offers to lite", transport.Lite, true, `offer("/offer")`},
		{"answers full", transport.Full, false, `answer("/call")`},
	} {
		t.Run(x.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			m, s := newMirror(t, x.ice, x.mux)
			p, err := b.Open(ctx, s.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Eval(context.WithoutCancel(ctx), "pc?.close()", nil)
			call(t, ctx, p, m, x.call, 0)
			var before, after string
			if err := p.Eval(ctx, `pc.localDescription.sdp.match(/ice-ufrag:(.*)/)[1]`, &before); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(x.call, "answer") {
				for _, x := range m.transports {
					x.RestartICE()
				}
			}
			call(t, ctx, p, m, x.call, 200)
			if err := p.Eval(ctx, `pc.localDescription.sdp.match(/ice-ufrag:(.*)/)[1]`, &after); err != nil || before == after {
				t.Errorf("ICE did not start again: %q %q %v", before, after, err)
			}
		})
	}
}

// call describes both sides to each other and waits until more media than that has come back to the page.
func call(t *testing.T, ctx context.Context, p *browser.Page, m *mirror, expression string, than int) {
	t.Helper()
	if err := p.Eval(ctx, expression, nil); err != nil {
		t.Fatal(err)
	}
	condition := fmt.Sprintf(`stats().then(s => s.state === "connected" && s.audio > %d && s.frames > %d && s.energy > 0)`, than+100, than/10+20)
	if err := p.Await(ctx, condition); err != nil {
		var s any
		_ = p.Eval(context.WithoutCancel(ctx), "stats()", &s)
		for i, x := range m.transports {
			t.Logf("%d: %+v\n%+v", i, x.Stats(), x.Local())
		}
		t.Fatalf("%v\n%v", err, s)
	}
	await(t, ctx, "the path", func() bool { // after a restart the old one is used until then
		for _, x := range m.transports {
			if x.Stats().State != transport.Connected {
				return false
			}
		}
		return true
	})
	var s struct {
		Audio, Frames int
		Transports    []struct{ DTLS, Version, Cipher, ICE, Type string }
	}
	if err := p.Eval(ctx, "stats()", &s); err != nil {
		t.Fatal(err)
	}
	t.Logf("the page: %+v", s)
	if len(s.Transports) != 2 {
		t.Errorf("%d transports", len(s.Transports))
	}
	for _, x := range s.Transports {
		if x.DTLS != "connected" || x.Version != "FEFD" || x.Cipher == "" {
			t.Errorf("%+v", x)
		}
	}
	reports := uint64(0)
	for _, x := range m.transports {
		s := x.Stats()
		t.Logf("here: %+v", s)
		reports += s.RTCPIn.Packets
		if s.State != transport.Connected || s.AuthFailed+s.Replayed+s.Malformed != 0 || s.RTPIn.Packets == 0 {
			t.Errorf("%+v", s)
		}
	}
	if reports == 0 {
		t.Error("no RTCP of the page was taken")
	}
}
