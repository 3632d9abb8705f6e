package obs

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics is the registry of one node. Names start with "parley_" and say what
// an operator asks; label values come from closed sets.
type Metrics struct {
	*prometheus.Registry
	requests requestTable
}

// NewMetrics makes a registry with the process's own numbers in it. methods
// are the names by which Request counts, by index; the first stands for every
// method that has no name of its own.
func NewMetrics(version string, methods []string) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	m.requests.methods = methods
	m.requests.count = make([][codes]atomic.Uint64, len(methods))
	m.requests.desc = prometheus.NewDesc("parley_sip_requests_total",
		"SIP requests answered, by method and final status code.", []string{"method", "code"}, nil)
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "parley_build_info",
		Help: "Always 1; the label says which version runs.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.MustRegister(&m.requests, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts a request that was answered finally. It neither locks nor
// allocates.
func (m *Metrics) Request(method, code int) {
	if method < 0 || method >= len(m.requests.methods) {
		method = 0
	}
	if code < firstCode || code >= firstCode+codes {
		code = firstCode
	}
	m.requests.count[method][code-firstCode].Add(1)
}

// Gauge registers a value that is read when somebody asks.
func (m *Metrics) Gauge(name, help string, f func() float64) {
	m.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// Counter registers a total that somebody else counts, read when asked. labels
// are fixed pairs of name and value and may be nil.
func (m *Metrics) Counter(name, help string, labels prometheus.Labels, f func() uint64) {
	m.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
		func() float64 { return float64(f()) }))
}

// Final status codes are 200 to 699; index 0 also takes what is out of range.
const (
	firstCode = 200
	codes     = 500
)

// requestTable is a collector of one atomic per method and code, since a
// labelled counter of the library hashes its labels for every request.
type requestTable struct {
	methods []string
	count   [][codes]atomic.Uint64
	desc    *prometheus.Desc
}

func (t *requestTable) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

func (t *requestTable) Collect(ch chan<- prometheus.Metric) {
	for i := range t.count {
		name := t.methods[i]
		for c := range t.count[i] {
			if n := t.count[i][c].Load(); n > 0 {
				ch <- prometheus.MustNewConstMetric(t.desc, prometheus.CounterValue, float64(n), name, strconv.Itoa(firstCode+c))
			}
		}
	}
}
