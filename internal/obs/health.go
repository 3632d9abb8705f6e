package obs

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health answers two different questions: is the process alive (it is, if it
// answers at all), and can it do its work now. The second is the conjunction
// of named checks, so that the answer can say which dependency is missing.
type Health struct {
	mu     sync.Mutex
	checks []healthCheck
}

type healthCheck struct {
	name  string
	ready func() error
}

// Missing is a check that fails.
type Missing struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Add registers a check. ready is called from any goroutine, must not block
// and returns nil when the thing named works.
func (h *Health) Add(name string, ready func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, healthCheck{name, ready})
}

// Missing lists the checks that fail now, in the order they were added. An
// empty list means ready.
func (h *Health) Missing() []Missing {
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()
	var out []Missing
	for _, c := range checks {
		if err := c.ready(); err != nil {
			out = append(out, Missing{c.name, err.Error()})
		}
	}
	return out
}

// HandlerOptions choose what the admin listener offers.
type HandlerOptions struct {
	Health  *Health
	Metrics prometheus.Gatherer
	Pprof   bool // profiles cost time and show memory: only when asked for
}

// Handler serves /healthz (alive), /readyz (able to work; 503 and a list of
// what is missing otherwise) and /metrics. It carries no authentication and
// belongs on a loopback address.
func Handler(o HandlerOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		missing := o.Health.Missing()
		if len(missing) == 0 {
			fmt.Fprintln(w, "ready")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, m := range missing {
			fmt.Fprintf(w, "%s: %s\n", m.Name, m.Reason)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	if o.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}
