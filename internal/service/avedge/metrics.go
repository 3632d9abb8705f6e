package avedge

import (
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/media/turn"
)

// collector shows what the relay counts.
type collector struct{ s *Service }

var (
	descAllocations = prometheus.NewDesc("parley_avedge_allocations", "Relay addresses in use.", nil, nil)
	descUsers       = prometheus.NewDesc("parley_avedge_users", "Users who have relay addresses.", nil, nil)
	descPorts       = prometheus.NewDesc("parley_avedge_ports", "Ports of the relay's range that are in use.", nil, nil)
	descConns       = prometheus.NewDesc("parley_avedge_connections", "Connections of clients over TCP.", nil, nil)
	descAllocated   = prometheus.NewDesc("parley_avedge_allocations_total", "Relay addresses that were given out.", nil, nil)
	descPackets     = prometheus.NewDesc("parley_avedge_packets_total", "Packets relayed.", []string{"to"}, nil)
	descBytes       = prometheus.NewDesc("parley_avedge_bytes_total", "Octets relayed, without headers.", []string{"to"}, nil)
	descRefused     = prometheus.NewDesc("parley_avedge_refused_total", "Requests refused.", []string{"reason"}, nil)
	descDropped     = prometheus.NewDesc("parley_avedge_dropped_total", "Packets dropped.", []string{"reason"}, nil)
	descTokens      = prometheus.NewDesc("parley_avedge_credentials_total", "Answers to those who asked for credentials.", []string{"answer"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for i := range c.s.answers {
		ch <- prometheus.MustNewConstMetric(descTokens, prometheus.CounterValue, float64(c.s.answers[i].Load()), reasons[i].text)
	}
	r := c.s.relay.Load()
	if r == nil {
		return
	}
	st, cut, failed := r.stats()
	r.mu.Lock()
	conns := len(r.all)
	r.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	count := func(d *prometheus.Desc, v uint64, label ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), label...)
	}
	gauge(descAllocations, float64(st.Allocations))
	gauge(descUsers, float64(r.users.Len()))
	gauge(descPorts, float64(r.pool.used()))
	gauge(descConns, float64(conns))
	count(descAllocated, st.Allocated)
	count(descPackets, st.ToPeers, "peer")
	count(descPackets, st.ToClients, "client")
	count(descBytes, st.ToPeersBytes, "peer")
	count(descBytes, st.ToClientsBytes, "client")
	for reason, v := range refusals(st) {
		count(descRefused, v, reason)
	}
	for reason, v := range map[string]uint64{"malformed": st.Malformed, "no allocation": st.NoAllocation, "no permission": st.NoPermission,
		"over rate": st.OverRate, "replayed": st.Replayed, "too long": cut, "not sent": failed, "strangers": st.Unanswered} {
		count(descDropped, v, reason)
	}
	count(descRefused, r.refused.Load(), "connections")
}

func refusals(st turn.Stats) map[string]uint64 {
	return map[string]uint64{"no credentials": st.Unauthorized, "stale nonce": st.Stale, "unknown user": st.BadUser,
		"wrong password": st.BadPassword, "expired": st.ExpiredUser, "other user": st.Stolen, "quota": st.Quota, "no port": st.NoPort,
		"forbidden peer": st.Forbidden, "bad request": st.BadRequest}
}
