package webclient_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/autodiscover"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/service/webclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, webclient.Spec) }

// front is the web site of a node.
type front struct {
	t         *testing.T
	n         *nodetest.Node
	transport *http.Transport
}

func start(t *testing.T) *front {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{autodiscover.Spec, webclient.Spec, web.Spec, registrar.Spec}})
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &front{t, n, tr}
}

// get asks without following redirections.
func (f *front) get(row, path string, header ...string) (*http.Response, string) {
	f.t.Helper()
	scheme := "https"
	if row == porttable.SrvFeWebcompat80 {
		scheme = "http"
	}
	r, err := http.NewRequestWithContext(context.Background(), "GET", scheme+"://"+f.n.Addr(row).String()+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := f.transport.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(b)
}

func TestPages(t *testing.T) {
	f := start(t)
	const row = porttable.SrvFeWebcompat443
	resp, body := f.get(row, "/client/")
	if resp.StatusCode != 200 || !strings.Contains(body, "js/main.js") {
		t.Fatal(resp.Status, body)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
		t.Error(csp)
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	tag := resp.Header.Get("ETag")
	if again, _ := f.get(row, "/client/", "If-None-Match", `"x", W/`+tag); again.StatusCode != 304 {
		t.Error(again.Status)
	}
	zipped, text := f.get(row, "/Client/App.css", "Accept-Encoding", "br, gzip;q=0.5")
	if zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Error("not compressed")
	} else if r, err := gzip.NewReader(strings.NewReader(text)); err != nil {
		t.Error(err)
	} else if plain, err := io.ReadAll(r); err != nil || !strings.Contains(string(plain), ":root") {
		t.Error(err)
	}
	if plain, _ := f.get(row, "/client/app.css", "Accept-Encoding", "gzip;q=0"); plain.Header.Get("Content-Encoding") != "" {
		t.Error("compressed for whom does not want it")
	}
	for _, path := range []string{"/client/nothing.js", "/client/js/", "/client/../go.mod", "/client/site/index.html"} {
		if resp, _ := f.get(row, path); resp.StatusCode != 404 && resp.StatusCode != 301 && resp.StatusCode != 307 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	var config struct {
		Domains []string
		Socket  string
	}
	if _, body := f.get(row, "/client/config.json"); json.Unmarshal([]byte(body), &config) != nil || !slices.Equal(config.Domains, []string{nodetest.Domain}) || config.Socket != "/ws" {
		t.Error(body)
	}
	if _, body := f.get(row, "/client/offline.json"); !strings.Contains(body, `"js/main.js"`) || strings.Contains(body, "license") {
		t.Error(body)
	}
}

// A browser that is pointed at the server gets to the client, by every door; other clients do not.
func TestTheWayIn(t *testing.T) {
	f := start(t)
	for _, row := range []string{porttable.SrvFeWebcompat443, porttable.SrvFeWebcompat80} {
		resp, _ := f.get(row, "/", "Accept", "text/html,*/*;q=0.8")
		want := "https://" + f.n.Addr(porttable.SrvFeWebcompat443).String() + "/"
		if row == porttable.SrvFeWebcompat443 {
			want += "client/"
		}
		if to := resp.Header.Get("Location"); resp.StatusCode != 302 || to != want {
			t.Errorf("%s: %s %s", row, resp.Status, to)
		}
		if resp, _ := f.get(row, "/"); resp.StatusCode != 200 {
			t.Errorf("%s without a wish: %s", row, resp.Status)
		}
	}
	if resp, _ := f.get(porttable.SrvFeWebcompat80, "/client/"); resp.StatusCode != 403 {
		t.Error(resp.Status)
	}
	if resp, _ := f.get(porttable.SrvFeWebcompat80, "/ws"); resp.StatusCode != 403 {
		t.Error(resp.Status)
	}
}

func TestHTTP2(t *testing.T) {
	f := start(t)
	f.transport.ForceAttemptHTTP2 = true
	if resp, _ := f.get(porttable.SrvFeWebcompat443, "/client/"); resp.ProtoMajor != 2 {
		t.Error(resp.Proto)
	}
}

func TestSocket(t *testing.T) {
	f := start(t)
	host := f.n.Addr(porttable.SrvFeWebcompat443).String()
	client := &http.Client{Transport: f.transport}
	dial := func(origin, protocol string) (*websocket.Conn, int) {
		c, resp, err := websocket.Dial(t.Context(), "wss://"+host+"/ws", &websocket.DialOptions{
			HTTPClient: client, Subprotocols: []string{protocol}, HTTPHeader: http.Header{"Origin": {origin}}})
		if err != nil {
			if resp == nil {
				t.Fatal(err)
			}
			return nil, resp.StatusCode
		}
		t.Cleanup(func() { c.CloseNow() })
		return c, resp.StatusCode
	}
	if _, code := dial("https://elsewhere.test", "sip"); code != 403 {
		t.Errorf("a page of somebody else: %d", code)
	}
	if _, code := dial("https://"+host, "chat"); code != 400 {
		t.Errorf("another protocol: %d", code)
	}
	c, code := dial("https://"+host, "sip")
	if c == nil {
		t.Fatal(code)
	}
	err := c.Write(t.Context(), websocket.MessageText, []byte("REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/WSS a.invalid;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@example.test>;tag=a\r\nTo: <sip:alice@example.test>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nUser-Agent: JsSIP 3.11.1\r\nContent-Length: 0\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := c.Read(t.Context())
	if text := string(answer); err != nil || !strings.HasPrefix(text, "SIP/2.0 401 ") || !strings.Contains(text, "MD5") || strings.Contains(text, "SHA-256") {
		t.Error(err, text)
	}
}

// files are those of the client as they are in the source.
func files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("site", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var b []byte
			b, err = os.ReadFile(name)
			out[strings.TrimPrefix(filepath.ToSlash(name), "site/")] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every text is in every language, and none is there for nothing.
func TestCatalogues(t *testing.T) {
	all := files(t)
	catalogues := map[string]map[string]string{}
	for name, text := range all {
		if path.Dir(name) == "lang" {
			c := map[string]string{}
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			catalogues[name] = c
		}
	}
	english := catalogues["lang/en.json"]
	if len(catalogues) != 2 || len(english) == 0 {
		t.Fatal(catalogues)
	}
	value := regexp.MustCompile(`\{\w+\}`)
	for name, c := range catalogues {
		for key, text := range c {
			if _, ok := english[key]; !ok {
				t.Errorf("%s: %s is not in English", name, key)
			}
			a, b := value.FindAllString(text, -1), value.FindAllString(english[key], -1)
			slices.Sort(a)
			slices.Sort(b)
			if text == "" || !slices.Equal(a, b) {
				t.Errorf("%s: %s has the values %v, in English %v", name, key, a, b)
			}
		}
		for key := range english {
			if _, ok := c[key]; !ok {
				t.Errorf("%s: no %s", name, key)
			}
		}
	}
	var code strings.Builder
	for name, text := range all {
		if path.Dir(name) == "js" {
			code.WriteString(text)
		}
	}
	for _, m := range regexp.MustCompile(`'([a-z]+\.[a-z.]+)'`).FindAllStringSubmatch(code.String(), -1) {
		switch path.Ext(m[1]) {
		case ".js", ".json", ".svg":
			continue
		}
		if _, ok := english[m[1]]; !ok {
			t.Errorf("text %s is used and not there", m[1])
		}
	}
	made := regexp.MustCompile(`^(presence\.|calls\.kind\.|call\.(active|calling|connecting|preparing|ringing)$|nav\.|settings\.(notify\.|audio|video))`) // by t(`presence.${state}`) and the like
	for key := range english {
		if !strings.Contains(code.String(), "'"+key+"'") && !made.MatchString(key) {
			t.Errorf("text %s is there and not used", key)
		}
	}
}

// Modules that are not announced would be found one after the other, a round trip each.
func TestModulesAreAnnounced(t *testing.T) {
	all := files(t)
	for name := range all {
		if path.Dir(name) == "js" && name != "js/main.js" && !strings.Contains(all["index.html"], `<link rel="modulepreload" href="`+name+`">`) {
			t.Errorf("index.html does not preload %s", name)
		}
	}
	if strings.Contains(all["index.html"], "style=") || regexp.MustCompile(`<script>|\son\w+=`).MatchString(all["index.html"]) {
		t.Error("index.html has something inline, which the policy forbids")
	}
}
