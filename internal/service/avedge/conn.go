package avedge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"parley/internal/media/turn"
)

// Bounds of a connection.
const (
	maxMessage   = 4 + maxDatagram + 1024 // of a client: a packet and what is around it
	maxQueue     = 256 << 10              // what waits for a client that does not read; more is dropped, as a network does
	writeTime    = 10 * time.Second
	introduction = 30 * time.Second // how long a connection may be without allocation
	renewEvery   = 15 * time.Second // how often its time is prolonged
)

// framing is how messages stand in a connection.
type framing uint8

const (
	undecided framing = iota
	plain             // RFC 8656 2.1: STUN says its own length, ChannelData is filled up to four octets
	framed            // [MS-TURN]: two octets say what follows, two how much
)

// The kinds of frame of [MS-TURN].
const (
	control  = 2
	endToEnd = 3
)

// conn is a client on a connection. It has one goroutine that reads, and another one only while something waits to be
// written.
type conn struct {
	w       *worker
	tuple   turn.Tuple
	c       net.Conn
	framing framing // set before anything is sent
	run     func()  // flush, made once
	secure  bool    // TLS

	mu      sync.Mutex
	queue   []byte
	spare   []byte
	writing bool
	dead    bool
	dropped uint64
}

var errFraming = errors.New("neither TURN nor the Lync dialect")

// read feeds the machine until the connection ends.
func (c *conn) read() error {
	in := bufio.NewReaderSize(c.c, 4096)
	first, err := in.Peek(1)
	if err != nil {
		return err
	}
	c.framing = plain
	if first[0] == control || first[0] == endToEnd {
		c.framing = framed
	}
	var buf []byte
	deadline := time.Time{}
	for {
		head, err := in.Peek(4)
		if err != nil {
			return err
		}
		skip, size, fill := 0, 0, 0
		n := int(binary.BigEndian.Uint16(head[2:]))
		switch {
		case c.framing == framed:
			if head[0] != control && head[0] != endToEnd || head[1] != 0 {
				return errFraming
			}
			skip, size = 4, n
		case head[0]&0xC0 == 0x40:
			size, fill = 4+n, -n&3
		case head[0]&0xC0 == 0:
			size = 20 + n
		default:
			return errFraming
		}
		if size > maxMessage {
			return errFraming
		}
		if size+fill > cap(buf) {
			buf = make([]byte, max(size+fill, 2048))
		}
		if _, err := in.Discard(skip); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, buf[:size+fill]); err != nil {
			return err
		}
		now := time.Now()
		c.w.mu.Lock()
		ok := c.w.server.Input(c.tuple, buf[:size], now)
		has := c.w.server.Has(c.tuple)
		c.w.flush()
		c.w.mu.Unlock()
		if !ok {
			return errFraming
		}
		if now.Sub(deadline) > renewEvery {
			deadline = now
			until := introduction
			if has {
				until = turn.MaxLifetime + time.Minute
			}
			c.c.SetReadDeadline(now.Add(until))
		}
	}
}

// send queues what the machine has for the client.
func (c *conn) send(b []byte, raw bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	if len(c.queue)+len(b)+8 > maxQueue {
		c.dropped++
		return
	}
	switch {
	case c.framing == framed:
		kind := byte(control)
		if raw {
			kind = endToEnd
		}
		c.queue = append(c.queue, kind, 0)
		c.queue = binary.BigEndian.AppendUint16(c.queue, uint16(len(b)))
		c.queue = append(c.queue, b...)
	default:
		c.queue = append(c.queue, b...)
		c.queue = append(c.queue, "\x00\x00\x00"[:-len(b)&3]...)
	}
	if !c.writing {
		c.writing = true
		c.w.relay.readers.Add(1) // the reader is among them still
		go c.run()
	}
}

// flush writes until nothing is left.
func (c *conn) flush() {
	defer c.w.relay.readers.Done()
	for {
		c.mu.Lock()
		if len(c.queue) == 0 || c.dead {
			c.writing = false
			c.mu.Unlock()
			return
		}
		b := c.queue
		c.queue = c.spare[:0]
		c.mu.Unlock()
		c.c.SetWriteDeadline(time.Now().Add(writeTime))
		err := c.write(b)
		c.mu.Lock()
		c.spare = b
		if err != nil {
			c.dead, c.queue = true, nil
		}
		c.mu.Unlock()
		if err != nil {
			c.c.Close() // the reader ends
		}
	}
}

// write writes whole messages. Each gets a record of its own where there is TLS: turnutils_uclient takes a record for a
// message.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if c.secure && c.framing == plain {
			n = int(binary.BigEndian.Uint16(b[2:]))
			if b[0]&0xC0 == 0x40 {
				n = 4 + (n+3)&^3
			} else {
				n += 20
			}
		}
		if _, err := c.c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
