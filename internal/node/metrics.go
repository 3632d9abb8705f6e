package node

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
	"parley/internal/sip"
)

// methods are the labels of parley_sip_requests_total, by sip.Method.
func methods() []string {
	var out []string
	for m := sip.OtherMethod; m == sip.OtherMethod || m.String() != sip.OtherMethod.String(); m++ {
		out = append(out, m.String())
	}
	return out
}

// responded hears of every response the stack sends.
func (n *Node) responded(method sip.Method, code int, raw []byte) {
	if code >= 200 {
		n.metrics.Request(int(method), code)
	}
	n.calls.responded(n.now(), method, code, raw)
}

// registerMetrics shows what the layers count. Everything is read when
// somebody asks; nothing is counted twice.
func (n *Node) registerMetrics() {
	m := n.metrics
	m.Gauge("parley_registrations", "Endpoints signed in.", func() float64 { b, _ := n.bindings.Len(); return float64(b) })
	m.Gauge("parley_users_registered", "Users with an endpoint signed in.", func() float64 { _, u := n.bindings.Len(); return float64(u) })
	m.Gauge("parley_users", "Users of the directory.", func() float64 { return float64(n.dir.Len()) })
	m.Gauge("parley_calls_active", "Calls that are going on, ringing ones too.", func() float64 { return float64(n.calls.len()) })
	m.Gauge("parley_ready", "1 when the node can do its work.", func() float64 { return truth(len(n.health.Missing()) == 0) })
	m.Gauge("parley_store_up", "1 when the store answers.", func() float64 { return truth(n.storeState.get() == nil) })
	m.Gauge("parley_bus_up", "1 when the bus can be written.", func() float64 { return truth(n.busState.get() == nil) })

	f := n.layer.Stats()
	m.Gauge("parley_flows_stream", "Connections open.", func() float64 { return float64(f.OpenStreams.Load()) })
	m.Gauge("parley_flows_udp", "UDP peers known.", func() float64 { return float64(f.OpenUDP.Load()) })
	m.Gauge("parley_handshakes_pending", "TLS and WebSocket handshakes under way.", func() float64 { return float64(f.PendingTLS.Load()) })
	counter := func(name, help string, c *atomic.Uint64) { m.Counter(name, help, nil, c.Load) }
	counter("parley_connections_accepted_total", "Connections accepted.", &f.Accepted)
	counter("parley_connections_dialled_total", "Connections opened to other servers.", &f.Dialled)
	counter("parley_connections_dial_failures_total", "Connections to other servers that failed.", &f.DialFailures)
	counter("parley_bytes_received_total", "SIP bytes received.", &f.BytesIn)
	counter("parley_bytes_sent_total", "SIP bytes sent.", &f.BytesOut)
	counter("parley_messages_received_total", "SIP messages received.", &f.MessagesIn)
	counter("parley_messages_sent_total", "SIP messages sent.", &f.MessagesOut)
	counter("parley_keepalives_total", "Keep-alives answered.", &f.KeepAlives)
	byReason := func(name, help string, reasons map[string]*atomic.Uint64) {
		for reason, c := range reasons {
			m.Counter(name, help, prometheus.Labels{"reason": reason}, c.Load)
		}
	}
	byReason("parley_refused_total", "Connections, datagrams and requests refused, by reason.", map[string]*atomic.Uint64{
		"connections": &f.RefusedConns, "connections_of_address": &f.RefusedIP, "handshakes": &f.RefusedHandshakes,
		"flow": &f.RefusedHandler, "udp_flows": &f.RefusedUDP, "handshake_failed": &f.HandshakeFails,
		"wrong_password": &n.gate.Counters().Failed, "too_many_wrong_passwords": &n.gate.Counters().Blocked,
		"replay": &n.gate.Counters().Replayed, "impostor": &n.gate.Counters().Impostors,
		"relay": &n.gate.Counters().Relays, "unknown_too_often": &n.gate.Counters().Throttled,
		"certificate": &n.gate.Counters().Certificates, "not_signed": &n.gate.Counters().Forged,
	})
	byReason("parley_dropped_total", "Messages and connections dropped, by reason.", map[string]*atomic.Uint64{
		"malformed": &f.ParseErrors, "datagram_not_sent": &f.SendDropped, "slow_peer": &f.ClosedSlow, "idle": &f.ClosedIdle,
		"message_too_slow": &f.ClosedLate, "framing_lost": &f.ClosedFrames, "panic": &f.Panics,
	})
	byReason("parley_challenges_total", "Requests asked for credentials, by reason.", map[string]*atomic.Uint64{
		"all": &n.gate.Counters().Challenged, "stale": &n.gate.Counters().Stale,
	})
	byReason("parley_web_refused_total", "Web requests refused before any service saw them, by reason.", n.front.Refused())
	m.MustRegister(&stackCollector{n})
	n.mediaMetrics()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// stackCollector reads the stack's counters once for all of its metrics, since
// reading takes its locks.
type stackCollector struct{ n *Node }

var (
	descOpen    = desc("parley_transactions_open", "Requests being served, not answered yet.")
	descTable   = desc("parley_transactions", "Transactions remembered, answered ones too.")
	descLate    = desc("parley_stack_late_seconds", "How far the stack is behind its clock.")
	descRetrans = desc("parley_retransmissions_total", "Messages sent again.")
	descRepeat  = desc("parley_repetitions_total", "Requests that were repetitions.")
	descTimeout = desc("parley_timeouts_total", "Requests to others that nobody answered.")
	descOverld  = desc("parley_overload_total", "Requests refused with 503 because of too much work.")
	descStray   = desc("parley_stray_responses_total", "Responses that belong to nothing.")
	descPanics  = desc("parley_stack_panics_total", "Panics caught in handlers.")
)

func desc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// Describe implements prometheus.Collector.
func (c *stackCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *stackCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.n.stack.Stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	count := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge(descOpen, float64(s.OpenServer))
	gauge(descTable, float64(s.Table))
	gauge(descLate, s.Late.Seconds())
	count(descRetrans, s.Retransmits)
	count(descRepeat, s.Repeated)
	count(descTimeout, s.Timeouts)
	count(descOverld, s.Overload)
	count(descStray, s.Stray)
	count(descPanics, s.Panics)
}

// newMetrics makes the registry. It is filled by registerMetrics when there is
// something to show.
func (n *Node) newMetrics() { n.metrics = obs.NewMetrics(n.version, methods()) }
