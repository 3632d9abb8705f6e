// Package interwork has ends call each other that share no way to send media: Chromium with the web client, baresip with
// plain RTP and with SRTP. What is said at one end must be heard at the other.
package interwork

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/test/baresip"
	"parley/test/browser"
	"parley/test/parleytest"
	"parley/test/server"
)

func TestMain(m *testing.M) { parleytest.Main(m) }

const (
	domain = "example.test"
	// patience bounds every single wait. It is long because machines are slow.
	patience = 90 * time.Second

	browserSays = 997.0 // Hz
	phoneSays   = 633.0
)

// desk is a phone in a test.
type desk struct {
	*baresip.Phone
	t    *testing.T
	mark int
}

// kinds are how a phone protects its media.
var kinds = map[string]func(*baresip.Config){
	"plain":     func(*baresip.Config) {},
	"srtp":      func(c *baresip.Config) { srtp(c, "srtp") },
	"srtp-mand": func(c *baresip.Config) { srtp(c, "srtp-mand") },
}

func srtp(c *baresip.Config, how string) {
	c.Lines = append(c.Lines, "module srtp.so")
	c.Account = append(c.Account, "mediaenc="+how)
}

func signIn(t *testing.T, s *server.Server, name, transport string, tone float64, change ...func(*baresip.Config)) *desk {
	t.Helper()
	c := baresip.Config{Name: name, Password: parleytest.Password, Domain: domain, Server: s.At(transport).String(), Transport: transport,
		CAFile: s.CAFile(), Dir: t.TempDir(), Tone: tone}
	for _, f := range change {
		f(&c)
	}
	p, err := baresip.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{Phone: p, t: t}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Registered(ctx); err != nil {
		t.Fatal(err)
	}
	return d
}

func answers(c *baresip.Config) { c.Answer = "auto" }

func (d *desk) await(types ...string) baresip.Event {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	e, at, err := d.Await(ctx, d.mark, types...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mark = at + 1
	return e
}

func (d *desk) do(command, params string) {
	d.t.Helper()
	if err := d.Command(command, params); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) logs(pattern string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if err := d.AwaitLog(ctx, regexp.MustCompile(pattern)); err != nil {
		d.t.Fatal(err)
	}
}

// forget removes what the phone recorded so far, so that it cannot be taken for what it hears in the call to come.
func (d *desk) forget() {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.Dir, "out", "dump-*.wav"))
	for _, f := range files {
		if err == nil {
			err = os.Remove(f)
		}
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// hears waits until what the phone heard in its latest call has a second of nothing but hz.
func (d *desk) hears(hz float64) {
	d.t.Helper()
	deadline := time.After(patience)
	for {
		var share, rms, seconds float64
		if s, err := d.Heard(); err == nil {
			share, rms = s.Tone(hz)
			if seconds = s.Seconds(); share > 0.9 && rms > 0.02 {
				d.t.Logf("%s hears %.0f Hz: %.3f of what it hears, RMS %.3f", d.Name, hz, share, rms)
				return
			}
		}
		select {
		case <-deadline:
			d.t.Fatalf("%s heard no tone of %.0f Hz in %.1f s: its share is %.2f, RMS %.3f", d.Name, hz, seconds, share, rms)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// page is the web client of somebody, whose microphone has a tone.
type page struct {
	*browser.Page
	t    *testing.T
	name string
}

// prepared keeps the browser from taking a tone for noise, and lets the test hear what the page hears.
const prepared = `
window.pcs = [];
window.RTCPeerConnection = class extends RTCPeerConnection { constructor(...a) { super(...a); window.pcs.push(this); } };
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (c) => ask({ ...c, audio: c.audio ? { echoCancellation: false, noiseSuppression: false, autoGainControl: false } : false });
window.heard = async () => {
  const pc = pcs.at(-1);
  const track = pc?.getReceivers().find((r) => r.track?.kind === "audio")?.track;
  if (!track) return { hz: 0, level: 0 };
  if (window.of !== track) {
    window.of = track;
    window.ear = new AudioContext({ sampleRate: 16000 });
    await ear.resume();
    window.analyser = new AnalyserNode(ear, { fftSize: 16384, smoothingTimeConstant: 0 });
    window.source = ear.createMediaStreamSource(new MediaStream([track]));
    source.connect(analyser);
  }
  const bins = new Float32Array(analyser.frequencyBinCount), wave = new Float32Array(analyser.fftSize);
  analyser.getFloatFrequencyData(bins);
  analyser.getFloatTimeDomainData(wave);
  let top = 0;
  for (let i = 1; i < bins.length; i++) if (bins[i] > bins[top]) top = i;
  let sum = 0, all = 0;
  bins.forEach((db, i) => { const p = 10 ** (db / 10); all += p; if (Math.abs(i - top) <= 4) sum += p; });
  return { hz: top * ear.sampleRate / analyser.fftSize, share: sum / all, level: Math.sqrt(wave.reduce((s, x) => s + x * x, 0) / wave.length) };
};
// key resolves when the page has heard two tones at a time for a moment, as a key has them.
window.key = async (low, high) => {
  const ear2 = new AnalyserNode(ear, { fftSize: 1024 }), wave = new Float32Array(1024);
  source.connect(ear2);
  const power = (hz) => {
    let a = 0, b = 0;
    const k = 2 * Math.cos(2 * Math.PI * hz / ear.sampleRate);
    for (const v of wave) [a, b] = [v + k * a - b, a];
    return a * a + b * b - k * a * b;
  };
  for (const end = Date.now() + 60000; Date.now() < end; await new Promise((r) => { setTimeout(r, 15); })) {
    ear2.getFloatTimeDomainData(wave);
    const all = wave.reduce((s, x) => s + x * x, 0) * wave.length / 2;
    if (all > 1 && power(low) > 0.2 * all && power(high) > 0.2 * all) return true;
  }
  return false;
};`

func launch(t *testing.T) *browser.Browser {
	t.Helper()
	parleytest.Need(t, "chromium", "baresip")
	dir, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	wav := filepath.Join(t.TempDir(), "say.wav")
	if err := baresip.WriteTone(wav, browserSays, 60); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := browser.Start(ctx, dir, "--use-file-for-fake-audio-capture="+wav)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func (p *page) ctx() context.Context {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

func (p *page) must(err error) {
	p.t.Helper()
	if err != nil {
		var text string
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = p.Eval(ctx, `JSON.stringify([document.body.innerText, pcs.at(-1)?.remoteDescription?.sdp, pcs.at(-1)?.localDescription?.sdp])`, &text)
		p.t.Fatalf("%s: %v\nthe page shows:\n%s", p.name, err, strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(text))
	}
}

func (p *page) await(expression string) {
	p.t.Helper()
	// The wait ends in the page: a command that is cut off would cost the connection to the browser.
	p.must(p.Eval(p.ctx(), `(async () => {
		for (const end = Date.now() + 60000; Date.now() < end; await new Promise((r) => { setTimeout(r, 50); })) {
			try { if (await (`+expression+`)) return; } catch { /* not there yet */ }
		}
		throw new Error("never true: " + `+fmt.Sprintf("%q", expression)+`);
	})()`, nil))
}
func (p *page) click(selector string) { p.t.Helper(); p.must(p.Click(p.ctx(), selector)) }

// enter signs somebody in and opens a conversation.
func enter(t *testing.T, b *browser.Browser, s *server.Server, name, with string) *page {
	t.Helper()
	p := &page{t: t, name: name}
	var err error
	p.Page, err = b.Open(p.ctx(), "about:blank#")
	if err != nil {
		t.Fatal(err)
	}
	p.must(p.Command(p.ctx(), "Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": prepared}))
	p.must(p.Command(p.ctx(), "Page.navigate", map[string]any{"url": "https://" + s.Addr.String() + "/"}))
	p.await(`location.pathname === "/client/" && document.querySelector("#address")`)
	p.must(p.Fill(p.ctx(), "#address", name))
	p.must(p.Fill(p.ctx(), "#password", parleytest.Password))
	p.click("form button[type=submit]")
	p.await(`document.querySelector(".shell")`)
	p.opens(with)
	return p
}

func (p *page) opens(with string) {
	p.t.Helper()
	p.must(p.Eval(p.ctx(), fmt.Sprintf(`location.hash = "#/chat/%s%%40%s"`, with, domain), nil))
	p.await(fmt.Sprintf(`document.querySelector("#peer")?.textContent.startsWith(%q)`, with))
}

// hears waits until what the page hears is a tone.
func (p *page) hears(hz float64) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	var h struct{ Hz, Share, Level float64 }
	for {
		p.must(p.Eval(p.ctx(), `heard()`, &h))
		if h.Hz > hz-4 && h.Hz < hz+4 && h.Share > 0.8 && h.Level > 0.02 {
			p.t.Logf("%s hears %.1f Hz: %.3f of what it hears, RMS %.3f", p.name, h.Hz, h.Share, h.Level)
			return
		}
		if time.Now().After(deadline) {
			var stats json.RawMessage
			_ = p.Eval(p.ctx(), `(async () => { const r = []; for (const s of (await pcs.at(-1).getStats()).values()) if (/bound-rtp|transport|candidate-pair/.test(s.type)) r.push(s); return r })()`, &stats)
			p.t.Fatalf("%s heard no tone of %.0f Hz: %+v\n%s", p.name, hz, h, stats)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// carried returns what the server says of the media of its only call.
func carried(t *testing.T, s *server.Server) (media []struct {
	Kind       string
	Transcoded bool
	Ends       []struct{ Device, Codec, Keys string }
}) {
	t.Helper()
	out, err := s.CLI(t.Context(), "", "calls", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var calls []struct{ Media json.RawMessage }
	if err := json.Unmarshal([]byte(out), &calls); err != nil || len(calls) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("calls: %s", calls[0].Media)
	if len(calls[0].Media) > 0 {
		if err := json.Unmarshal(calls[0].Media, &media); err != nil {
			t.Fatal(err)
		}
	}
	return media
}

func TestBrowserAndPhone(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	b := launch(t)
	alice := enter(t, b, s, "alice", "bob")
	for _, kind := range []string{"plain", "srtp", "srtp-mand"} {
		t.Run(kind, func(t *testing.T) {
			alice.t = t
			bob := signIn(t, s, "bob", "tls", phoneSays, answers, kinds[kind])
			alice.click("#call-audio")
			bob.await("CALL_ESTABLISHED")
			bob.hears(browserSays)
			alice.hears(phoneSays)
			media := carried(t, s)
			if len(media) != 1 || media[0].Ends[0].Device != "WebRTC" || (media[0].Ends[1].Keys == "none") != (kind == "plain") {
				t.Errorf("carried: %+v", media)
			}

			// Digits, both ways.
			alice.click(`[data-key="keypad"]`)
			for _, d := range []string{"1", "5", "9"} {
				alice.must(alice.Eval(alice.ctx(), fmt.Sprintf(`[...document.querySelectorAll(".keypad button")].find((b) => b.textContent === %q).click()`, d), nil))
				if e := bob.await("CALL_DTMF_START"); e.Param != d {
					t.Errorf("the phone got digit %q, want %q", e.Param, d)
				}
			}
			alice.must(alice.Eval(alice.ctx(), `void (window.pressed = key(770, 1336))`, nil))
			bob.do("sndcode", "5")
			alice.await(`pressed`)

			// Hold and resume, by the browser, then by the phone.
			alice.click(`[data-key="hold"]`)
			bob.logs(`a=sendonly`)
			alice.await(`document.querySelector('[data-key="hold"]').getAttribute("aria-pressed") === "true"`)
			alice.click(`[data-key="hold"]`)
			alice.await(`document.querySelector('[data-key="hold"]').getAttribute("aria-pressed") === "false"`)
			alice.hears(phoneSays)
			bob.do("hold", "")
			alice.await(`/on hold/i.test(document.body.innerText)`)
			bob.do("resume", "")
			alice.hears(phoneSays)
			alice.click(`[data-key="hangup"]`)
			bob.await("CALL_CLOSED")
			alice.click(`[data-key="close"]`)

			// With a camera, of which the phone knows nothing.
			bob.forget()
			alice.click("#call-video")
			bob.await("CALL_ESTABLISHED")
			bob.hears(browserSays)
			alice.hears(phoneSays)
			alice.click(`[data-key="hangup"]`)
			bob.await("CALL_CLOSED")
			alice.click(`[data-key="close"]`)

			// And the other way round.
			bob.forget()
			bob.do("dial", "sip:alice@"+domain)
			alice.await(`document.querySelector('[data-key="answer"]')`)
			alice.click(`[data-key="answer"]`)
			bob.await("CALL_ESTABLISHED")
			bob.hears(browserSays)
			alice.hears(phoneSays)
			bob.do("hangup", "")
			alice.await(`document.querySelector('[data-key="close"]')`)
			alice.click(`[data-key="close"]`)
		})
	}
}

// Phones of which one insists on SRTP and the other has none; then two that share something.
func TestPhones(t *testing.T) {
	parleytest.Need(t, "baresip")
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	for _, c := range []struct{ from, to, transport string }{
		{"plain", "srtp-mand", "tls"}, {"srtp-mand", "plain", "tls"}, {"srtp", "srtp-mand", "tcp"}, {"plain", "srtp-mand", "udp"}, {"srtp-mand", "plain", "udp"},
	} {
		t.Run(c.from+" to "+c.to+" by "+c.transport, func(t *testing.T) {
			alice := signIn(t, s, "alice", c.transport, browserSays, kinds[c.from])
			bob := signIn(t, s, "bob", c.transport, phoneSays, answers, kinds[c.to])
			alice.do("dial", "sip:bob@"+domain)
			bob.await("CALL_ESTABLISHED")
			alice.await("CALL_ESTABLISHED")
			bob.hears(browserSays)
			alice.hears(phoneSays)
			carried(t, s)
			alice.do("hold", "")
			bob.logs(`a=(sendonly|inactive)`)
			alice.do("resume", "")
			alice.do("hangup", "")
			bob.await("CALL_CLOSED")
		})
	}
	t.Run("without a codec in common", func(t *testing.T) {
		wide := func(c *baresip.Config) { c.Codec, c.Lines = "G722/16000/1", append(c.Lines, "module g722.so") }
		alice := signIn(t, s, "alice", "tls", browserSays)
		bob := signIn(t, s, "bob", "tls", phoneSays, answers, wide)
		alice.do("dial", "sip:bob@"+domain)
		bob.await("CALL_ESTABLISHED")
		bob.hears(browserSays)
		alice.hears(phoneSays)
		if media := carried(t, s); len(media) != 1 || !media[0].Transcoded {
			t.Errorf("carried: %+v", media)
		}
		alice.do("hangup", "")
		bob.await("CALL_CLOSED")
	})
	for _, kind := range []string{"plain", "srtp", "srtp-mand"} {
		t.Run("two with "+kind, func(t *testing.T) {
			alice := signIn(t, s, "alice", "tls", browserSays, kinds[kind])
			bob := signIn(t, s, "bob", "tls", phoneSays, answers, kinds[kind])
			alice.do("dial", "sip:bob@"+domain)
			bob.await("CALL_ESTABLISHED")
			bob.hears(browserSays)
			alice.hears(phoneSays)
			if media := carried(t, s); len(media) != 0 {
				t.Errorf("the server carries %+v", media)
			}
			// The description that came is the one that was sent, to the port.
			port := regexp.MustCompile(`m=audio (\d+) `).FindAllStringSubmatch(bob.Log(), -1)
			for _, p := range port {
				if !strings.Contains(alice.Log(), p[0]) {
					t.Errorf("%q is in the descriptions of bob alone", p[0])
				}
			}
			alice.do("hangup", "")
			bob.await("CALL_CLOSED")
		})
	}
}
