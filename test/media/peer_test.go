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

// peer is just enough of a SIP server to take one call from a phone and answer it with an own description. The server
// itself does not touch media yet; this stands in for it, so that what it will use meets a real phone today.
type peer struct {
	t     *testing.T
	conn  *net.UDPConn
	pair  *ports.Pair
	local sdp.Local
	taken chan call
	done  sync.WaitGroup
}

// call is what was agreed upon.
type call struct {
	codec  sdp.Codec
	event  uint8 // payload type of telephone-event, 0 for none
	remote netip.AddrPort
}

func newPeer(t *testing.T, local sdp.Local) *peer {
	addr := netip.MustParseAddr("127.0.0.84")
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := ports.New(ports.Range{First: 49152, Last: 57500}, ports.Reuse)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pool.Listen(addr, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, pair: pair, local: local, taken: make(chan call, 1)}
	p.done.Go(p.serve)
	t.Cleanup(func() {
		conn.Close()
		if err := pair.Close(time.Now()); err != nil {
			t.Error(err)
		}
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
	here := p.pair.RTP.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	answer := sdp.Answer(offer, sdp.Origin{User: "-", ID: "1", Version: 1, AddrType: "IP4", Address: here.String()}, sdp.ConnectionTo(here),
		func(_ int, m *sdp.Media) *sdp.Media {
			choice, ok := offer.Choose(m, p.local)
			to, known := offer.Connection(m)
			addr, isAddr := to.Addr()
			if !ok || !known || !isAddr {
				p.t.Errorf("the phone's offer is refused:\n%s", body)
				return nil
			}
			c.codec = choice.Codecs[0]
			for _, x := range choice.Codecs {
				if x.Name == "telephone-event" {
					c.event = x.Type
				}
			}
			c.remote = netip.AddrPortFrom(addr, m.MLine().Port)
			return m.Accept(choice, p.pair.Port)
		})
	if err := sdp.CheckAnswer(offer, answer); err != nil {
		p.t.Error(err)
	}
	p.taken <- c
	return answer.Append(nil)
}
