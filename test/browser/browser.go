// Package browser drives headless Chromium (Debian's chromium) over the Chrome DevTools protocol: pages that act as
// people do, with cameras and microphones that are not there. It speaks the few commands that tests need; a library for
// all of them would be larger than the client that is tested.
package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// Browser is a Chromium that runs.
type Browser struct {
	cmd  *exec.Cmd
	done chan struct{}
	conn *websocket.Conn
	read sync.WaitGroup

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	events  map[string]func(method string, params json.RawMessage) // by session
}

type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// flags make a browser that needs no screen, no devices, no permissions and no trust in certificates.
var flags = []string{
	"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio", "--lang=en",
	"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
	"--auto-accept-this-tab-capture", "--auto-select-desktop-capture-source=Entire screen",
	"--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns,Translate,OptimizationHints,MediaRouter",
	"--ignore-certificate-errors", "--disable-background-networking", "--disable-component-update", "--disable-sync",
	"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
	"--remote-debugging-port=0", "about:blank",
}

// Start starts Chromium with a profile in dir, which must exist and be empty, and with further flags.
func Start(ctx context.Context, dir string, more ...string) (*Browser, error) {
	b := &Browser{done: make(chan struct{}), waiting: map[int]chan answer{}, events: map[string]func(string, json.RawMessage){}}
	log, err := os.Create(filepath.Join(dir, "chromium.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.cmd = exec.Command("chromium", slices.Concat([]string{"--user-data-dir=" + dir}, more, flags)...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = b.cmd.Wait(); close(b.done) }()
	port, err := b.port(ctx, filepath.Join(dir, "DevToolsActivePort"))
	if err == nil {
		b.conn, _, err = websocket.Dial(ctx, "ws://127.0.0.1:"+port[0]+port[1], nil)
	}
	if err != nil {
		b.kill()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("chromium: %w\n%s", err, text)
	}
	b.conn.SetReadLimit(64 << 20)
	b.read.Go(b.receive)
	return b, nil
}

// port waits for the file in which Chromium says where it listens.
func (b *Browser) port(ctx context.Context, file string) ([]string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(file); err == nil {
			if lines := strings.Fields(string(text)); len(lines) == 2 {
				return lines, nil
			}
		}
		select {
		case <-tick.C:
		case <-b.done:
			return nil, errors.New("it ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Browser) kill() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.done
}

// Close ends the browser.
func (b *Browser) Close() {
	b.kill()
	_ = b.conn.CloseNow()
	b.read.Wait()
}

// receive takes answers and events until the connection ends.
func (b *Browser) receive() {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for id, ch := range b.waiting {
			close(ch)
			delete(b.waiting, id)
		}
		b.waiting = nil
	}()
	for {
		_, text, err := b.conn.Read(context.Background())
		if err != nil {
			return
		}
		var m struct {
			ID        int             `json:"id"`
			SessionID string          `json:"sessionId"`
			Method    string          `json:"method"`
			Params    json.RawMessage `json:"params"`
			answer
		}
		if json.Unmarshal(text, &m) != nil {
			return
		}
		b.mu.Lock()
		ch := b.waiting[m.ID]
		delete(b.waiting, m.ID)
		event := b.events[m.SessionID]
		b.mu.Unlock()
		switch {
		case ch != nil:
			ch <- m.answer
		case m.Method != "" && event != nil:
			event(m.Method, m.Params)
		}
	}
}

// call sends a command and decodes its result into out, unless that is nil.
func (b *Browser) call(ctx context.Context, session, method string, params, out any) error {
	ch := make(chan answer, 1)
	b.mu.Lock()
	if b.waiting == nil {
		b.mu.Unlock()
		return errors.New("chromium has ended")
	}
	b.next++
	id := b.next
	b.waiting[id] = ch
	b.mu.Unlock()
	text, err := json.Marshal(map[string]any{"id": id, "sessionId": session, "method": method, "params": params})
	if session == "" {
		text, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err != nil {
		return err
	}
	if err := b.conn.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	select {
	case a, ok := <-ch:
		switch {
		case !ok:
			return errors.New("chromium has ended")
		case a.Error != nil:
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		case out != nil:
			return json.Unmarshal(a.Result, out)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// Page is a page in a profile of its own, like that of another person.
type Page struct {
	b       *Browser
	session string

	mu     sync.Mutex
	errors []string
}

type object map[string]any

// Open opens a page.
func (b *Browser) Open(ctx context.Context, url string) (*Page, error) {
	var profile struct{ BrowserContextID string }
	if err := b.call(ctx, "", "Target.createBrowserContext", object{}, &profile); err != nil {
		return nil, err
	}
	var target struct{ TargetID string }
	if err := b.call(ctx, "", "Target.createTarget", object{"url": "about:blank", "browserContextId": profile.BrowserContextID, "width": 1280, "height": 800}, &target); err != nil {
		return nil, err
	}
	var session struct{ SessionID string }
	if err := b.call(ctx, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &session); err != nil {
		return nil, err
	}
	p := &Page{b: b, session: session.SessionID}
	b.mu.Lock()
	b.events[p.session] = p.event
	b.mu.Unlock()
	for _, c := range []struct {
		method string
		params object
	}{
		{"Runtime.enable", nil}, {"Log.enable", nil}, {"Page.enable", nil}, {"Page.navigate", object{"url": url}},
	} {
		if c.params == nil {
			c.params = object{}
		}
		if err := b.call(ctx, p.session, c.method, c.params, nil); err != nil {
			return nil, err
		}
	}
	return p, p.Await(ctx, `document.readyState === "complete" && location.href !== "about:blank"`)
}

// event remembers what went wrong in the page.
func (p *Page) event(method string, params json.RawMessage) {
	switch method {
	case "Runtime.exceptionThrown":
	case "Log.entryAdded":
		var e struct{ Entry struct{ Level string } }
		if json.Unmarshal(params, &e) != nil || e.Entry.Level != "error" {
			return
		}
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = append(p.errors, string(params))
}

// Errors are the exceptions and error messages of the page so far.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.errors...)
}

// Command sends a command of the protocol to the page.
func (p *Page) Command(ctx context.Context, method string, params map[string]any) error {
	return p.b.call(ctx, p.session, method, params, nil)
}

// Eval evaluates an expression, waits for it when it is a promise, and decodes its value into out, unless that is nil.
func (p *Page) Eval(ctx context.Context, expression string, out any) error {
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.b.call(ctx, p.session, "Runtime.evaluate", object{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &r)
	if err != nil {
		return err
	}
	if e := r.ExceptionDetails; e != nil {
		return fmt.Errorf("%s %s in %s", e.Text, e.Exception.Description, expression)
	}
	if out == nil || r.Result.Value == nil {
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// Await waits until an expression is true. On the way it may be one that throws.
func (p *Page) Await(ctx context.Context, expression string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		err := p.Eval(ctx, "(async () => !!(await ("+expression+")))()", &ok)
		if err == nil && ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			var text string
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = p.Eval(late, "document.body.innerText", &text)
			return fmt.Errorf("never true: %s (%v)\npage: %s\nerrors: %s", expression, err, text, strings.Join(p.Errors(), "\n"))
		}
	}
}

// Fill types a text into the field that a selector finds.
func (p *Page) Fill(ctx context.Context, selector, text string) error {
	sel, _ := json.Marshal(selector)
	if err := p.Await(ctx, fmt.Sprintf(`(document.querySelector(%s)?.select?.(), document.querySelector(%s)?.focus(), document.activeElement === document.querySelector(%s))`, sel, sel, sel)); err != nil {
		return err
	}
	return p.Command(ctx, "Input.insertText", object{"text": text})
}

// Click waits for what a selector finds and clicks it.
func (p *Page) Click(ctx context.Context, selector string) error {
	sel, _ := json.Marshal(selector)
	return p.Await(ctx, fmt.Sprintf(`(() => { const e = document.querySelector(%s); if (!e || e.disabled || !e.checkVisibility()) return false; e.click(); return true })()`, sel))
}

// Key presses a key, such as "Enter".
func (p *Page) Key(ctx context.Context, key string, code int) error {
	for _, kind := range []string{"keyDown", "keyUp"} {
		params := object{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" && kind == "keyDown" {
			params["text"] = "\r"
		}
		if err := p.Command(ctx, "Input.dispatchKeyEvent", params); err != nil {
			return err
		}
	}
	return nil
}

// View sets the size of the page and the wish for dark colours.
func (p *Page) View(ctx context.Context, width, height int, dark bool) error {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return errors.Join(
		p.Command(ctx, "Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}),
		p.Command(ctx, "Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}),
	)
}

// Shot writes a picture of the page (PNG).
func (p *Page) Shot(ctx context.Context, file string) error {
	var r struct{ Data string }
	if err := p.b.call(ctx, p.session, "Page.captureScreenshot", object{"format": "png"}, &r); err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}
