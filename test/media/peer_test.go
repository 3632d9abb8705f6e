package media_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/media/ports"
	"parley/internal/sdp"
)

// peer is just enough of a SIP server to take one call from a phone and answer it with an own description, so that the
// parts of the media engine meet a real phone without the rest of the server.
type peer struct {
	t     *testing.T
	conn  *net.UDPConn
	pair  *ports.Pair // of newPeer
	media netip.AddrPort
	local sdp.Local
	taken chan call
	done  sync.WaitGroup
}

// call is what was agreed upon.
type call struct {
	codec  sdp.Codec
	all    []sdp.Codec
	event  uint8 // payload type of telephone-event, 0 for none
	remote netip.AddrPort
}

var here = netip.MustParseAddr("127.0.0.84")

// newPeer returns a peer with ports of its own.
func newPeer(t *testing.T, local sdp.Local) *peer {
	pool, err := ports.New(ports.Range{First: 49152, Last: 57500}, ports.Reuse)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pool.Listen(here, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := newSignalling(t, local, netip.AddrPortFrom(here, pair.Port))
	p.pair = pair
	t.Cleanup(func() { // before the one of newSignalling, which waits for readers
		if err := pair.Close(time.Now()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// newSignalling returns a peer that names the address of somebody else's ports.
func newSignalling(t *testing.T, local sdp.Local, media netip.AddrPort) *peer {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, media: media, local: local, taken: make(chan call, 1)}
	p.done.Go(p.serve)
	t.Cleanup(func() {
		conn.Close()
		p.done.Wait()
	})
	return p
}

func (p *peer) serve() {
	buf := make([]byte, 65536)
	var answer []byte
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		head, body, _ := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
		method, _, _ := strings.Cut(string(head), " ")
		switch method {
		case "INVITE":
			if answer == nil {
				answer = p.accept(body)
			}
			p.reply(from, string(head), answer)
		case "BYE":
			p.reply(from, string(head), nil)
		}
	}
}

// reply is a 200 with the headers that have to come back.
func (p *peer) reply(to netip.AddrPort, request string, body []byte) {
	out := "SIP/2.0 200 OK\r\n"
	for _, line := range strings.Split(request, "\r\n")[1:] {
		switch name, _, _ := strings.Cut(line, ":"); strings.ToLower(name) {
		case "to":
			if !strings.Contains(line, ";tag=") {
				line += ";tag=peer"
			}
			fallthrough
		case "via", "from", "call-id", "cseq", "record-route":
			out += line + "\r\n"
		}
	}
	out += fmt.Sprintf("Contact: <sip:bob@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n", p.conn.LocalAddr(), len(body))
	if _, err := p.conn.WriteToUDPAddrPort(append([]byte(out), body...), to); err != nil {
		p.t.Log(err)
	}
}

func (p *peer) accept(body []byte) []byte {
	offer, err := sdp.Parse(body)
	if err != nil {
		p.t.Errorf("the phone's offer: %v\n%s", err, body)
		return nil
	}
	var c call
	answer := sdp.Answer(offer, sdp.Origin{User: "-", ID: "1", Version: 1, AddrType: "IP4", Address: here.String()}, sdp.ConnectionTo(here),
		func(_ int, m *sdp.Media) *sdp.Media {
			choice, ok := offer.Choose(m, p.local)
			to, known := offer.Connection(m)
			addr, isAddr := to.Addr()
			if !ok || !known || !isAddr {
				p.t.Errorf("the phone's offer is refused:\n%s", body)
				return nil
			}
			c.codec, c.all = choice.Codecs[0], choice.Codecs
			for _, x := range choice.Codecs {
				if x.Name == "telephone-event" {
					c.event = x.Type
				}
			}
			c.remote = netip.AddrPortFrom(addr, m.MLine().Port)
			return m.Accept(choice, p.media.Port())
		})
	if err := sdp.CheckAnswer(offer, answer); err != nil {
		p.t.Error(err)
	}
	p.taken <- c
	return answer.Append(nil)
}
