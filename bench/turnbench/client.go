package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/stun"
	"parley/test/procstat"
)

const channel = 0x4000

// client is a client of the relay with one allocation and one channel.
type client struct {
	conn        *net.UDPConn
	packet      []byte // ChannelData
	sent        int64
	got         atomic.Int64
	trips       []time.Duration
	nonce, user string
	key         []byte
}

// answers waits until a relay answers STUN.
func answers(ctx context.Context, at netip.AddrPort) error {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer c.Close()
	b := stun.Start(nil, stun.BindingRequest, id(), stun.RFC)
	msg := b.Finish(nil, false)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
		_, _ = c.Write(msg)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Read(make([]byte, 500)); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(errors.New("the relay does not answer"), ctx.Err())
}

func id() [16]byte {
	var random [16]byte
	rand.Read(random[:])
	return stun.NewID(random, stun.RFC)
}

// open makes an allocation and a channel to the peer.
func open(relay, peer netip.AddrPort, n, size int) (*client, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(1 << 19)
	c := &client{conn: conn, user: fmt.Sprintf("%d:user%d", time.Now().Add(time.Hour).Unix(), n)}
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(c.user))
	c.key = stun.LongTermKey(c.user, realm, base64.StdEncoding.EncodeToString(m.Sum(nil)))
	err = c.ask(stun.AllocateRequest, func(b *stun.Builder) { b.AddUint32(stun.RequestedTransport, 17<<24) })
	if err == nil {
		err = c.ask(stun.ChannelBindRequest, func(b *stun.Builder) {
			b.AddUint32(stun.ChannelNumber, channel<<16)
			b.AddXorAddr(stun.XorPeerAddress, peer)
		})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.packet = binary.BigEndian.AppendUint16(nil, channel)
	c.packet = binary.BigEndian.AppendUint16(c.packet, uint16(size))
	c.packet = append(c.packet, make([]byte, size)...)
	return c, nil
}

func (c *client) ask(t stun.Type, fill func(*stun.Builder)) error {
	buf := make([]byte, 1500)
	for range 10 {
		b := stun.Start(nil, t, id(), stun.RFC)
		fill(&b)
		var key []byte
		if c.nonce != "" {
			b.AddString(stun.Username, c.user)
			b.AddString(stun.Realm, realm)
			b.AddString(stun.Nonce, c.nonce)
			key = c.key
		}
		if _, err := c.conn.Write(b.Finish(key, false)); err != nil {
			return err
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.conn.Read(buf)
		if err != nil {
			continue // lost, or the relay is slow: ask anew
		}
		m, err := stun.Parse(buf[:n], stun.RFC)
		if err != nil {
			return err
		}
		if m.Code() == 401 && c.nonce == "" {
			nonce, _ := m.Get(stun.Nonce)
			c.nonce = string(nonce)
			continue
		}
		if m.Code() != 0 {
			return fmt.Errorf("the relay refuses %x with %d", uint16(t), m.Code())
		}
		return nil
	}
	return errors.New("the relay does not answer requests")
}

// read counts what comes back.
func (c *client) read() {
	buf := make([]byte, 2048)
	for {
		n, err := c.conn.Read(buf)
		if err != nil {
			return
		}
		if n < 12 || binary.BigEndian.Uint16(buf) != channel {
			continue
		}
		if c.got.Add(1)%16 == 0 {
			c.trips = append(c.trips, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(buf[4:]))))
		}
	}
}

func (c *client) send() {
	binary.BigEndian.PutUint64(c.packet[4:], uint64(time.Now().UnixNano()))
	if _, err := c.conn.Write(c.packet); err == nil {
		c.sent++
	}
}

// result is what a run has shown.
type result struct {
	subject, load string
	cpu           float64 // microseconds for a packet relayed one way
	sent, got     int64
	trips         []time.Duration
}

func measure(ctx context.Context, s *settings, sub *subject, l load) (r result, err error) {
	run, err := sub.start(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, run.stop()) }()
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return r, err
	}
	_ = peer.SetReadBuffer(4 << 20)
	var readers sync.WaitGroup
	var clients []*client
	end := sync.OnceFunc(func() {
		peer.Close()
		for _, c := range clients {
			c.conn.Close()
		}
		readers.Wait()
	})
	defer end()
	readers.Go(func() { // the peer
		buf := make([]byte, 2048)
		for {
			n, from, err := peer.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = peer.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	at := peer.LocalAddr().(*net.UDPAddr).AddrPort()
	for n := range l.clients {
		c, err := open(run.at, at, n, s.size)
		if err != nil {
			return r, err
		}
		clients = append(clients, c)
		_ = c.conn.SetReadDeadline(time.Time{})
		readers.Go(c.read)
	}
	received := func() (n int64) {
		for _, c := range clients {
			n += c.got.Load()
		}
		return n
	}
	// The clients send spread over the interval, not all at once: a second to warm up, then what is measured.
	const steps = 20
	began := time.Now()
	from := began.Add(time.Second)
	until := from.Add(time.Duration(s.seconds) * time.Second)
	var before procstat.Usage
	var countBefore int64
	started := false
	for n := 0; ctx.Err() == nil; n++ {
		when := began.Add(time.Duration(n) * l.interval / steps)
		if when.After(until) {
			break
		}
		if d := time.Until(when); d > 0 {
			time.Sleep(d)
		}
		if !started && when.After(from) {
			started = true
			if before, err = procstat.Group(run.group, false); err != nil {
				return r, err
			}
			countBefore = received()
		}
		for i := n % steps; i < len(clients); i += steps {
			clients[i].send()
		}
	}
	after, err := procstat.Group(run.group, false)
	if err != nil || ctx.Err() != nil {
		return r, errors.Join(err, ctx.Err())
	}
	n := received() - countBefore
	time.Sleep(500 * time.Millisecond) // what is under way arrives
	r = result{subject: sub.name, load: l.name, got: received()}
	end()
	if n == 0 {
		return r, errors.New("nothing was relayed")
	}
	r.cpu = float64((after.CPU - before.CPU).Microseconds()) / float64(2*n)
	for _, c := range clients {
		r.sent += c.sent
		r.trips = append(r.trips, c.trips...)
	}
	slices.Sort(r.trips)
	return r, nil
}
