package stack

import (
	"strconv"
	"sync/atomic"
	"time"

	"parley/internal/sip"
)

// methodCount covers every sip.Method with room to grow; what lies beyond counts as OtherMethod.
const methodCount = 32

// counters are plain atomics: one addition each, on paths that take microseconds.
type counters struct {
	requestsIn   [methodCount]atomic.Uint64
	requestsOut  [methodCount]atomic.Uint64
	responsesIn  [600]atomic.Uint64 // by code - 100
	responsesOut [600]atomic.Uint64

	open        atomic.Int64 // as of the last tick
	repeated    atomic.Uint64
	stray       atomic.Uint64
	strayAcks   atomic.Uint64
	malformed   atomic.Uint64
	dropped     atomic.Uint64
	overload    atomic.Uint64
	timeouts    atomic.Uint64
	noAck       atomic.Uint64
	unanswered  atomic.Uint64
	transport   atomic.Uint64
	retransmits atomic.Uint64
	failovers   atomic.Uint64
	panics      atomic.Uint64
}

func countMethod(a *[methodCount]atomic.Uint64, m sip.Method) {
	if m >= methodCount {
		m = sip.OtherMethod
	}
	a[m].Add(1)
}

func countCode(a *[600]atomic.Uint64, code int) {
	if i := code - 100; i >= 0 && i < len(a) {
		a[i].Add(1)
	}
}

// Stats is a moment's view of the counters. Everything but the first three fields only grows.
type Stats struct {
	OpenServer int           // server transactions without final answer
	Table      int           // all transactions in the table, with those that only absorb repetitions
	Late       time.Duration // since the clock last ran; more than a slot of 50 ms means that it is behind

	RequestsIn   map[sip.Method]uint64
	RequestsOut  map[sip.Method]uint64
	ResponsesIn  map[int]uint64 // by status code
	ResponsesOut map[int]uint64

	Repeated    uint64 // requests that were repetitions
	Stray       uint64 // responses that belong to nothing
	StrayAcks   uint64 // ACKs absorbed because they answer a refusal without state
	Malformed   uint64 // what could not be parsed
	Dropped     uint64 // requests Admit had dropped
	Overload    uint64 // requests refused with 503 because of too much work
	Timeouts    uint64 // requests that nobody answered
	NoAck       uint64 // final responses to INVITE that nobody acknowledged
	Unanswered  uint64 // requests that their handler forgot
	Transport   uint64 // transactions that ended because the peer cannot be reached
	Retransmits uint64 // messages sent again
	Failovers   uint64 // requests sent to the next target
	Panics      uint64 // panics caught in handlers
}

// Stats returns the counters. It takes every shard's lock for a moment.
func (s *Stack) Stats() Stats {
	c := &s.stats
	st := Stats{
		Late:         s.now() - time.Duration(s.lastTick.Load()),
		RequestsIn:   make(map[sip.Method]uint64),
		RequestsOut:  make(map[sip.Method]uint64),
		ResponsesIn:  make(map[int]uint64),
		ResponsesOut: make(map[int]uint64),
		Repeated:     c.repeated.Load(),
		Stray:        c.stray.Load(),
		StrayAcks:    c.strayAcks.Load(),
		Malformed:    c.malformed.Load(),
		Dropped:      c.dropped.Load(),
		Overload:     c.overload.Load(),
		Timeouts:     c.timeouts.Load(),
		NoAck:        c.noAck.Load(),
		Unanswered:   c.unanswered.Load(),
		Transport:    c.transport.Load(),
		Retransmits:  c.retransmits.Load(),
		Failovers:    c.failovers.Load(),
		Panics:       c.panics.Load(),
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.OpenServer += sh.open
		st.Table += len(sh.server) + len(sh.client)
		sh.mu.Unlock()
	}
	for m := range sip.Method(methodCount) {
		put(st.RequestsIn, m, c.requestsIn[m].Load())
		put(st.RequestsOut, m, c.requestsOut[m].Load())
	}
	for i := range c.responsesIn {
		put(st.ResponsesIn, i+100, c.responsesIn[i].Load())
		put(st.ResponsesOut, i+100, c.responsesOut[i].Load())
	}
	return st
}

func put[K comparable](m map[K]uint64, k K, v uint64) {
	if v != 0 {
		m[k] = v
	}
}

// seconds prints a duration as a number of seconds, at least 1.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
