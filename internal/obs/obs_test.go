package obs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTraceKeepsTheNewestMessagesWhole(t *testing.T) {
	tr := NewTrace(1000, 16)
	rnd := rand.New(rand.NewPCG(1, 2))
	var sent []string
	for i := range 2000 {
		raw := fmt.Sprintf("%d:%s", i, strings.Repeat("x", rnd.IntN(300)))
		if i%97 == 0 {
			raw = strings.Repeat("y", 1001) // longer than the ring: counted, kept empty
		}
		tr.Add(TraceMeta{}, []byte(raw))
		if len(raw) > 1000 {
			raw = ""
		}
		sent = append(sent, raw)
		recs, next := tr.Snapshot(0, 0)
		if next != uint64(len(sent)) || len(recs) == 0 || len(recs) > 16 {
			t.Fatalf("after %d: %d records, next %d", i, len(recs), next)
		}
		for j, r := range recs {
			want := sent[len(sent)-len(recs)+j]
			if string(r.Raw) != want {
				t.Fatalf("after %d: record %d is %q, want %q", i, r.Seq, r.Raw, want)
			}
		}
	}
}

func TestTraceFollowSeesWhatComesLater(t *testing.T) {
	tr := NewTrace(1<<16, 1024)
	tr.Add(TraceMeta{}, []byte("before"))
	done := errors.New("done")
	got := make(chan error)
	var seen []string
	from := tr.Next()
	go func() {
		got <- tr.Follow(t.Context(), from, func(r Record) error {
			seen = append(seen, string(r.Raw))
			if len(seen) == 300 {
				return done
			}
			return nil
		})
	}()
	for i := range 300 {
		tr.Add(TraceMeta{}, fmt.Appendf(nil, "m%d", i))
	}
	if err := <-got; err != done {
		t.Fatal(err)
	}
	if seen[0] != "m0" || seen[299] != "m299" {
		t.Fatalf("saw %s .. %s", seen[0], seen[299])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Follow(ctx, tr.Next(), nil); err != context.Canceled {
		t.Fatalf("follow after cancel: %v", err)
	}
}

const register = "REGISTER sip:example.test SIP/2.0\r\n" +
	"Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n" +
	"f: \"Alice\" <sip:Alice@example.test>;tag=1\r\n" +
	"To: <sip:alice@example.test>\r\n" +
	"i: c1@192.0.2.1\r\n" +
	"Authorization: Digest username=\"alice\", realm=\"example.test\",\r\n nonce=\"abc,def\", response=\"0123456789abcdef\"\r\n" +
	"Content-Length: 6\r\n\r\nsecret"

func TestTraceMasksBodiesAndCredentials(t *testing.T) {
	r := Record{Raw: []byte(register)}
	got := r.Text(View{})
	for _, hidden := range []string{"0123456789abcdef", "abc,def", "secret"} {
		if strings.Contains(got, hidden) {
			t.Errorf("%q is shown in\n%s", hidden, got)
		}
	}
	for _, want := range []string{`Authorization: Digest username="alice", realm="example.test", nonce=[masked], response=[masked]`,
		"[body of 6 bytes not shown]", "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got = r.Text(View{Bodies: true, Credentials: true})
	if !strings.Contains(got, "0123456789abcdef") || !strings.HasSuffix(got, "\nsecret") {
		t.Errorf("asked for everything, got\n%s", got)
	}
}

func TestTraceFilter(t *testing.T) {
	r := Record{Raw: []byte(register), TraceMeta: TraceMeta{Flow: 7}}
	for _, c := range []struct {
		f    Filter
		want bool
	}{
		{Filter{}, true},
		{Filter{User: "alice@example.test"}, true},
		{Filter{User: "sip:ALICE@example.test"}, true},
		{Filter{User: "lice@example.test"}, false},
		{Filter{User: "alice@example.tes"}, false},
		{Filter{User: "bob@example.test"}, false},
		{Filter{Call: "c1@192.0.2.1"}, true},
		{Filter{Call: "c1"}, false},
		{Filter{Flow: 7, Call: "c1@192.0.2.1"}, true},
		{Filter{Flow: 8}, false},
	} {
		if got := c.f.Match(r); got != c.want {
			t.Errorf("%+v matches: %v, want %v", c.f, got, c.want)
		}
	}
}

func FuzzTraceText(f *testing.F) {
	f.Add([]byte(register))
	f.Add([]byte("Authorization:\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := Record{Raw: raw}
		r.Text(View{})
		r.Title()
		Filter{User: "alice@example.test", Call: "x"}.Match(r)
	})
}

func TestMetricsCountRequestsByMethodAndCode(t *testing.T) {
	m := NewMetrics("test", []string{"OTHER", "INVITE", "REGISTER"})
	m.Request(2, 200)
	m.Request(2, 200)
	m.Request(1, 486)
	m.Request(99, 9999)
	m.Gauge("parley_registrations", "Endpoints signed in.", func() float64 { return 3 })
	srv := httptest.NewServer(Handler(HandlerOptions{Health: &Health{}, Metrics: m}))
	defer srv.Close()
	body := get(t, srv, "/metrics", 200)
	for _, want := range []string{
		`parley_sip_requests_total{code="200",method="REGISTER"} 2`,
		`parley_sip_requests_total{code="486",method="INVITE"} 1`,
		`parley_sip_requests_total{code="200",method="OTHER"} 1`,
		`parley_registrations 3`,
		`parley_build_info{version="test"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Request(0, 200) }); n != 0 {
		t.Errorf("counting allocates %v times", n)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	h := &Health{}
	var storeErr error
	h.Add("store", func() error { return storeErr })
	h.Add("bus", func() error { return nil })
	srv := httptest.NewServer(Handler(HandlerOptions{Health: h, Metrics: NewMetrics("test", []string{"OTHER"})}))
	defer srv.Close()
	if got := get(t, srv, "/readyz", 200); got != "ready\n" {
		t.Errorf("readyz: %q", got)
	}
	storeErr = errors.New("connection refused")
	if got := get(t, srv, "/readyz", 503); got != "store: connection refused\n" {
		t.Errorf("readyz: %q", got)
	}
	get(t, srv, "/healthz", 200)
	get(t, srv, "/debug/pprof/", 404)
}

func get(t *testing.T, srv *httptest.Server, path string, want int) string {
	t.Helper()
	resp, err := srv.Client().Get(srv.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer srv.Client().CloseIdleConnections()
	if resp.StatusCode != want {
		t.Fatalf("%s: status %d, want %d", path, resp.StatusCode, want)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var _ http.Handler = Handler(HandlerOptions{Health: &Health{}, Metrics: NewMetrics("", []string{"OTHER"})})

func BenchmarkTraceAdd(b *testing.B) {
	tr := NewTrace(8<<20, 8192)
	raw := []byte(register)
	b.ReportAllocs()
	for b.Loop() {
		tr.Add(TraceMeta{}, raw)
	}
}
