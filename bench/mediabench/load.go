package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/media/g711"
	"parley/internal/media/opus"
	"parley/internal/rtp"
	"parley/test/procstat"
)

const (
	frame = 20 * time.Millisecond
	steps = 20 // the calls send spread over the frame, not all at once
)

// end is one end of a call.
type end struct {
	conn    *net.UDPConn
	to      netip.AddrPort
	codec   string
	speaks  bool
	seq     uint16
	ts      uint32
	sent    int64
	got     atomic.Int64
	delays  []time.Duration // of the relayed packets that arrived, one in sixteen
	packets [][]byte        // what it says, over and over
}

// result is what a run has shown.
type result struct {
	subject, kind string
	cpu           float64 // microseconds of the subject for a packet that arrived
	delays        []time.Duration
	sent, got     int64
}

func measure(ctx context.Context, s *settings, sub *subject, k kind) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.seconds+s.warm)*time.Second+time.Minute)
	defer cancel()
	run, err := sub.start(ctx, s.profile)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, run.stop()) }()

	said := map[string][][]byte{}
	for _, name := range []string{k.one, k.other} {
		if said[name], err = speech(name); err != nil {
			return r, err
		}
	}
	var ends []*end
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() {
		for _, e := range ends {
			e.conn.Close()
		}
	}()
	for i := range k.calls {
		var pair [2]*end
		var at [2]netip.AddrPort
		for j, codec := range []string{k.one, k.other} {
			conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
			if err != nil {
				return r, err
			}
			_ = conn.SetReadBuffer(1 << 18)
			pair[j] = &end{conn: conn, codec: codec, speaks: j == 0 || k.back, packets: said[codec], ts: uint32(i) * 7919}
			at[j] = conn.LocalAddr().(*net.UDPAddr).AddrPort()
			ends = append(ends, pair[j])
		}
		if pair[0].to, pair[1].to, err = run.connect(ctx, i, k, at[0], at[1]); err != nil {
			return r, err
		}
	}
	relayed := k.one == k.other
	for _, e := range ends {
		readers.Go(func() { e.read(relayed) })
	}
	// Warm up, measure, and let what is under way arrive.
	began := time.Now()
	from, until := began.Add(time.Duration(s.warm)*time.Second), began.Add(time.Duration(s.warm+s.seconds)*time.Second)
	var before, after procstat.Usage
	var countBefore, countAfter int64
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		send(ctx, ends, began, until)
	}()
	sleep(ctx, from)
	before, err = procstat.Group(run.group, false)
	countBefore = received(ends)
	sleep(ctx, until)
	after, err2 := procstat.Group(run.group, false)
	countAfter = received(ends)
	<-sender
	sleep(ctx, time.Now().Add(500*time.Millisecond))
	if err := errors.Join(err, err2, ctx.Err()); err != nil {
		return r, err
	}
	r = result{subject: sub.name, kind: k.name, got: received(ends)}
	for _, e := range ends {
		r.sent += e.sent
	}
	n := countAfter - countBefore
	if n == 0 {
		return r, errors.New("nothing arrived")
	}
	r.cpu = float64((after.CPU - before.CPU).Microseconds()) / float64(n)
	switch {
	case relayed && r.got != r.sent:
		return r, fmt.Errorf("%d of %d packets arrived", r.got, r.sent)
	case !relayed && float64(r.got) < 0.95*float64(r.sent):
		return r, fmt.Errorf("%d frames of %d arrived", r.got, r.sent)
	}
	for _, e := range ends {
		e.conn.Close()
	}
	readers.Wait()
	for _, e := range ends {
		r.delays = append(r.delays, e.delays...)
	}
	slices.Sort(r.delays)
	return r, nil
}

func received(ends []*end) (n int64) {
	for _, e := range ends {
		n += e.got.Load()
	}
	return n
}

func sleep(ctx context.Context, until time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(until)):
	}
}

// send lets all ends speak until the end of the time.
func send(ctx context.Context, ends []*end, began, until time.Time) {
	buf := make([]byte, 0, 1500)
	for n := 0; ctx.Err() == nil; n++ {
		at := began.Add(time.Duration(n) * frame / steps)
		if at.After(until) {
			return
		}
		if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		for i := n % steps; i < len(ends); i += steps {
			if e := ends[i]; e.speaks {
				buf = e.say(buf[:0])
			}
		}
	}
}

func (e *end) say(buf []byte) []byte {
	buf = rtp.Header{Type: payloadTypes[e.codec], Seq: e.seq, Timestamp: e.ts, SSRC: uint32(e.to.Port())}.Append(buf)
	at := len(buf)
	buf = append(buf, e.packets[int(e.seq)%len(e.packets)]...)
	if e.codec == pcmu { // when it was sent; in a conversion it is a click among others
		binary.BigEndian.PutUint64(buf[at:], uint64(time.Now().UnixNano()))
	}
	if _, err := e.conn.WriteToUDPAddrPort(buf, e.to); err == nil {
		e.sent++
	}
	e.seq++
	e.ts += clocks[e.codec]
	return buf
}

var clocks = map[string]uint32{pcmu: 160, opusName: 960}

func (e *end) read(relayed bool) {
	buf := make([]byte, 2048)
	for {
		n, _, err := e.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p, err := rtp.Parse(buf[:n])
		if err != nil || rtp.IsControl(buf[:n]) || p.Type() != payloadTypes[e.codec] {
			continue
		}
		if got := e.got.Add(1); relayed && got%16 == 0 && len(p.Payload()) >= 8 {
			e.delays = append(e.delays, time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(p.Payload())))))
		}
	}
}

// speech is two seconds of something like a voice: pitch, two formants and pauses, so that an encoder has its usual work.
func speech(codec string) ([][]byte, error) {
	const rate = 8000
	pcm := make([]int16, 2*rate)
	var y1, y2, z1, z2, seed float64 = 0, 0, 0, 0, 1
	phase := 0.0
	for i := range pcm {
		t := float64(i) / rate
		phase += (110 + 40*math.Sin(2*math.Pi*1.3*t)) / rate
		in := 0.0
		if phase >= 1 {
			phase--
			in = 1
		}
		seed = math.Mod(seed*16807, 2147483647)
		in += (seed/2147483647 - 0.5) * 0.02
		resonate := func(in, hz, r float64, a, b *float64) float64 {
			v := in + 2*r*math.Cos(2*math.Pi*hz/rate)**a - r*r**b
			*b, *a = *a, v
			return v
		}
		v := resonate(in, 500+250*math.Sin(2*math.Pi*2.1*t), 0.97, &y1, &y2) + 0.6*resonate(in, 1500+500*math.Sin(2*math.Pi*1.7*t), 0.96, &z1, &z2)
		v *= max(0, math.Sin(2*math.Pi*2*t)+0.6) * 3000
		pcm[i] = int16(min(max(v, -32768), 32767))
	}
	var out [][]byte
	if codec == pcmu {
		for part := range slices.Chunk(pcm, 160) {
			b := make([]byte, 160)
			g711.EncodeU(b, part)
			out = append(out, b)
		}
		return out, nil
	}
	e, err := opus.NewEncoder(opus.Config{Rate: rate})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for part := range slices.Chunk(pcm, 160) {
		b := make([]byte, opus.MaxPacket)
		n, err := e.Encode(b, part)
		if err != nil {
			return nil, err
		}
		out = append(out, b[:n])
	}
	return out, nil
}
