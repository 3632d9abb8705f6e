// Package baresip drives baresip 1.0.0 (Debian's baresip-core), a real SIP phone, without sound card or
// keyboard: it says a WAV file, records what it hears, and is commanded and watched over its control port.
package baresip

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what a phone is.
type Config struct {
	Name     string // user name, also of the account
	Password string // empty: the phone does not register
	Domain   string
	Server   string // "host:port" of the server the account goes through; empty: what DNS says of Domain
	// Transport is "udp", "tcp" or "tls".
	Transport string
	CAFile    string   // whom the phone trusts on TLS
	DNS       string   // "address:port" of a name server, for accounts without Server
	Answer    string   // "auto" or "manual" (default)
	Tone      float64  // what the phone says, in Hz; 0 is silence
	Codec     string   // default "PCMU/8000/1"
	Contacts  []string // entries of its contact list, such as `"Bob" <sip:bob@example.test>;presence=p2p`
	Expires   int      // seconds; default 300
	GiveUp    int      // seconds a call may ring here; default 120
	Modules   []string // besides those a plain phone has, such as "presence.so"
	Account   []string // further account parameters, such as "pubint=300"
	Lines     []string // further lines of the configuration
	Dir       string   // for its files; must exist
	Addr      string   // of the phone; default 127.0.0.1
	RTP       [2]int   // first and last port of its media; default some that are free
}

// Event is what the phone says happened.
type Event struct {
	Type    string `json:"type"` // such as REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED
	Class   string `json:"class"`
	Account string `json:"accountaor"`
	Peer    string `json:"peeruri"`
	ID      string `json:"id"` // Call-ID
	Param   string `json:"param"`
}

// Phone is a baresip that runs.
type Phone struct {
	Config
	Port int // SIP port; the phone's TLS port is the next one

	cmd  *exec.Cmd
	ctrl net.Conn
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and renewed with every event and log line
	events  []Event
	log     strings.Builder
}

const configuration = `poll_method             epoll
sip_listen              %[8]s:%[1]d
net_interface           %[8]s
call_local_timeout      %[7]d
call_max_calls          4
audio_player            aubridge,sink%[1]d
audio_source            aufile,%[2]s/say.wav
audio_alert             aubridge,alert%[1]d
ausrc_srate             48000
auplay_srate            48000
ausrc_channels          1
auplay_channels         1
ausrc_format            s16
auplay_format           s16
auenc_format            s16
audec_format            s16
audio_buffer            20-160
rtp_ports               %[3]d-%[4]d
rtcp_mux                no
jitter_buffer_type      fixed
jitter_buffer_delay     2-10
rtp_stats               yes
ctrl_tcp_listen         127.0.0.1:%[5]d
snd_path                %[2]s/out
module_path             %[6]s
module                  g711.so
module                  aufile.so
module                  aubridge.so
module                  sndfile.so
module_tmp              uuid.so
module_tmp              account.so
module_app              contact.so
module_app              ctrl_tcp.so
module_app              menu.so
`

// Start starts a phone and returns when it takes commands. An account with a password registers by itself,
// perhaps before anybody can listen for its events: see [Phone.Registered].
func Start(ctx context.Context, c Config) (*Phone, error) {
	port, err := ports()
	if err != nil {
		return nil, err
	}
	if c.Transport == "" {
		c.Transport = "udp"
	}
	if c.Answer == "" {
		c.Answer = "manual"
	}
	if c.Codec == "" {
		c.Codec = "PCMU/8000/1"
	}
	if c.Expires == 0 {
		c.Expires = 300
	}
	if c.GiveUp == 0 {
		c.GiveUp = 120
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1"
	}
	if c.RTP == [2]int{} {
		c.RTP = [2]int{port + 10, port + 29}
	}
	p := &Phone{Config: c, Port: port, done: make(chan struct{}), changed: make(chan struct{})}
	if err := p.write(port); err != nil {
		return nil, err
	}
	p.cmd = exec.Command("baresip", "-4", "-s", "-f", c.Dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	go p.readLog(r)
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	if err := p.connect(ctx, port+2); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w\n%s", c.Name, err, p.Log())
	}
	return p, nil
}

func (p *Phone) write(port int) error {
	c := &p.Config
	if err := os.MkdirAll(filepath.Join(c.Dir, "out"), 0o755); err != nil {
		return err
	}
	if err := WriteTone(filepath.Join(c.Dir, "say.wav"), c.Tone, 60); err != nil {
		return err
	}
	modules, err := modulePath()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(configuration, port, c.Dir, c.RTP[0], c.RTP[1], port+2, modules, c.GiveUp, c.Addr)
	if c.CAFile != "" {
		text += "sip_cafile " + c.CAFile + "\n"
	}
	if c.DNS != "" {
		text += "dns_server " + c.DNS + "\n"
	}
	for _, m := range c.Modules {
		text += "module_app " + m + "\n"
	}
	text += strings.Join(c.Lines, "\n") + "\n"

	account := fmt.Sprintf("<sip:%s@%s;transport=%s>;answermode=%s;audio_codecs=%s;ptime=20", c.Name, c.Domain, c.Transport, c.Answer, c.Codec)
	if c.Password != "" {
		account += fmt.Sprintf(";auth_user=%s;auth_pass=%s;regint=%d", c.Name, c.Password, c.Expires)
	} else {
		account += ";regint=0"
	}
	if c.Server != "" {
		account += fmt.Sprintf(`;outbound="sip:%s;transport=%s"`, c.Server, c.Transport)
	}
	if len(c.Account) > 0 {
		account += ";" + strings.Join(c.Account, ";")
	}
	for name, content := range map[string]string{
		"config": text, "accounts": account + "\n", "contacts": strings.Join(c.Contacts, "\n") + "\n",
	} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *Phone) connect(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			p.ctrl = c
			go p.readEvents(c)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no control port: %w", err)
		case <-p.done:
			return errors.New("baresip ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// readEvents reads netstrings ("12:{...},") until the phone leaves.
func (p *Phone) readEvents(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		size, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
		if err != nil || n > 1<<20 {
			return
		}
		b := make([]byte, n+1) // and the comma
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		var e struct {
			IsEvent bool `json:"event"` // or else the response to a command
			Event
		}
		if json.Unmarshal(b[:n], &e) != nil || !e.IsEvent {
			continue
		}
		p.mu.Lock()
		p.events = append(p.events, e.Event)
		p.signal()
		p.mu.Unlock()
	}
}

func (p *Phone) readLog(r io.ReadCloser) {
	defer r.Close()
	buf := make([]byte, 8192)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			p.mu.Lock()
			p.log.Write(bytes.ReplaceAll(buf[:n], []byte("\r\n"), []byte("\n")))
			p.signal()
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// signal wakes everybody who waits; p.mu is held.
func (p *Phone) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Log is everything the phone printed, with its trace of SIP messages.
func (p *Phone) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Command gives a command of baresip's menu, such as "dial" with a URI.
func (p *Phone) Command(command, params string) error {
	j, err := json.Marshal(map[string]string{"command": command, "params": params, "token": command})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.ctrl, "%d:%s,", len(j), j)
	return err
}

// Await waits for an event of one of the given types at mark or later, and says where it stands.
func (p *Phone) Await(ctx context.Context, mark int, types ...string) (e Event, at int, err error) {
	for {
		p.mu.Lock()
		changed := p.changed
		for i := min(mark, len(p.events)); i < len(p.events); i++ {
			if e := p.events[i]; slices.Contains(types, e.Type) {
				p.mu.Unlock()
				return e, i, nil
			}
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, 0, fmt.Errorf("%s: no %s; events: %s", p.Name, strings.Join(types, " or "), p.types())
		case <-p.done:
			return Event{}, 0, fmt.Errorf("%s: baresip ended", p.Name)
		}
	}
}

// AwaitLog waits until the log matches.
func (p *Phone) AwaitLog(ctx context.Context, re *regexp.Regexp) error {
	for {
		p.mu.Lock()
		changed := p.changed
		found := re.MatchString(p.log.String())
		p.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: nothing in the log matches %q", p.Name, re)
		case <-p.done:
			return fmt.Errorf("%s: baresip ended", p.Name)
		}
	}
}

var registered = regexp.MustCompile(`200 OK \(.*\) \[\d+ binding`)
var refused = regexp.MustCompile(`reg: .*: [3-6]\d\d .*`)

// Registered waits until the account is registered.
func (p *Phone) Registered(ctx context.Context) error {
	if err := p.AwaitLog(ctx, regexp.MustCompile(registered.String()+"|"+refused.String())); err != nil {
		return err
	}
	if log := p.Log(); !registered.MatchString(log) {
		return errors.New(refused.FindString(log))
	}
	return nil
}

// AwaitText waits for a pager message with this text. baresip without a screen shows it nowhere but in the
// trace, so that is where it is looked for, below a line that says it came from Server.
func (p *Phone) AwaitText(ctx context.Context, text string) error {
	return p.AwaitLog(ctx, p.received(text))
}

// Texts counts how often a text was received.
func (p *Phone) Texts(text string) int { return len(p.received(text).FindAllString(p.Log(), -1)) }

func (p *Phone) received(text string) *regexp.Regexp {
	return regexp.MustCompile(`(?:UDP|TCP|TLS) ` + regexp.QuoteMeta(p.Server) + ` -> .*\nMESSAGE .*\n(?:.+\n)+\n` + regexp.QuoteMeta(text) + `\x1b`)
}

func (p *Phone) types() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ts []string
	for _, e := range p.events {
		ts = append(ts, e.Type+"("+e.Param+")")
	}
	return strings.Join(ts, " ")
}

// Heard returns what the phone heard in its latest call.
func (p *Phone) Heard() (*Sound, error) { return p.recording("dec") }

func (p *Phone) recording(which string) (*Sound, error) {
	files, err := filepath.Glob(filepath.Join(p.Dir, "out", "dump-*-"+which+".wav"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s: no recording (%v)", p.Name, err)
	}
	at := func(i int) time.Time {
		st, err := os.Stat(files[i])
		if err != nil {
			return time.Time{}
		}
		return st.ModTime()
	}
	sort.Slice(files, func(i, j int) bool { return at(i).Before(at(j)) })
	return ReadWAV(files[len(files)-1])
}

// Stop lets the phone sign out and leave, and waits for it.
func (p *Phone) Stop() {
	if p.ctrl != nil {
		_ = p.Command("quit", "")
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.Kill()
	}
	if p.ctrl != nil {
		p.ctrl.Close()
	}
}

// Kill ends the phone without a word to anybody.
func (p *Phone) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// modulePath finds baresip's modules, which Debian puts in one of two places.
func modulePath() (string, error) {
	for _, pattern := range []string{"/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules"} {
		if m, _ := filepath.Glob(pattern); len(m) > 0 {
			return m[0], nil
		}
	}
	return "", errors.New("baresip's modules are not installed")
}
