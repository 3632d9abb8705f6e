package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/media/transport"
	"parley/internal/sdp"
)

// user is just enough of a SIP user agent for one call with a phone, over UDP, whose media is a transport that echoes.
type user struct {
	t    *testing.T
	conn *net.UDPConn
	x    *transport.Transport
	want sdp.Keying
	done sync.WaitGroup

	mu      sync.Mutex
	version uint64
	answers map[string][]byte // by CSeq: what was answered, for repetitions
	offers  int               // descriptions that the phone offered
	replies chan string       // to requests of ours
}

func newUser(t *testing.T, x *transport.Transport, want sdp.Keying) *user {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, conn: conn, x: x, want: want, answers: map[string][]byte{}, replies: make(chan string, 10)}
	u.done.Go(u.serve)
	t.Cleanup(func() {
		conn.Close()
		u.done.Wait()
	})
	return u
}

func (u *user) addr() string { return u.conn.LocalAddr().String() }

func field(message, name string) string {
	for line := range strings.SplitSeq(message, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (u *user) serve() {
	buf := make([]byte, 65536)
	for {
		n, from, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		message := string(buf[:n])
		head, body, _ := strings.Cut(message, "\r\n\r\n")
		switch method, _, _ := strings.Cut(head, " "); method {
		case "INVITE":
			u.mu.Lock()
			answer, again := u.answers[field(head, "CSeq")]
			if !again && body != "" {
				answer = u.answer([]byte(body))
				u.answers[field(head, "CSeq")] = answer
				u.offers++
			}
			u.mu.Unlock()
			u.reply(from, head, answer)
		case "BYE":
			u.reply(from, head, nil)
		case "SIP/2.0":
			select {
			case u.replies <- message:
			default:
			}
		}
	}
}

// reply is a 200 with the headers that have to come back.
func (u *user) reply(to netip.AddrPort, request string, body []byte) {
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
	out += fmt.Sprintf("Contact: <sip:bob@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n", u.addr(), len(body))
	u.send(to, append([]byte(out), body...))
}

func (u *user) send(to netip.AddrPort, b []byte) {
	if _, err := u.conn.WriteToUDPAddrPort(b, to); err != nil {
		u.t.Log(err)
	}
}

var phoneCodecs = []sdp.Codec{{Name: "PCMU", Clock: 8000, Channels: 1}}

// answer takes an offer of the phone. The caller holds mu.
func (u *user) answer(body []byte) []byte {
	offer, err := sdp.Parse(body)
	if err != nil {
		u.t.Errorf("the phone's offer: %v\n%s", err, body)
		return nil
	}
	u.version++
	lite := false
	answer := sdp.Answer(offer, sdp.Origin{User: "-", ID: "1", Version: u.version, AddrType: "IP4", Address: here.String()}, sdp.ConnectionTo(here),
		func(_ int, m *sdp.Media) *sdp.Media {
			choice, ok := offer.Choose(m, sdp.Local{Codecs: phoneCodecs, Direction: sdp.SendRecv, Keyings: []sdp.Keying{u.want}})
			r, err := transport.RemoteOf(offer, m, u.want)
			if err == nil {
				err = u.x.SetRemote(r)
			}
			if !ok || err != nil {
				u.t.Errorf("the phone's offer is refused: %v\n%s", err, body)
				return nil
			}
			l := u.x.Local()
			a := m.Accept(choice, l.RTP)
			l.Describe(a, false)
			lite = l.ICE != nil && l.ICE.Lite
			return a
		})
	transport.SetLite(answer, lite)
	if err := sdp.CheckAnswer(offer, answer); err != nil {
		u.t.Error(err)
	}
	return answer.Append(nil)
}

// invite calls the phone and returns when it has taken the call.
func (u *user) invite(phone netip.AddrPort) {
	u.t.Helper()
	d := sdp.New(sdp.Origin{User: "-", ID: "2", Version: 1, AddrType: "IP4", Address: here.String()}, sdp.ConnectionTo(here))
	proto := map[sdp.Keying]string{sdp.Plain: "RTP/AVP", sdp.SDES: "RTP/SAVP", sdp.DTLS: "UDP/TLS/RTP/SAVP"}[u.want]
	m := sdp.NewMedia(sdp.MLine{Kind: "audio", Port: 9, Ports: 1, Proto: proto, Formats: []string{"0"}})
	m.AddCodecs(phoneCodecs)
	l := u.x.Local()
	l.Describe(m, true)
	transport.SetLite(d, l.ICE != nil && l.ICE.Lite)
	d.Media = append(d.Media, m)
	body := d.Append(nil)
	request := func(method, to string, body []byte) []byte {
		return append(fmt.Appendf(nil, "%s sip:alice@%v SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: <sip:bob@%s>;tag=us\r\nTo: %s\r\n"+
			"Call-ID: call\r\nCSeq: 1 %s\r\nContact: <sip:bob@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n",
			method, phone, u.addr(), method, u.addr(), to, method, u.addr(), len(body)), body...)
	}
	to := fmt.Sprintf("<sip:alice@%v>", phone)
	u.send(phone, request("INVITE", to, body))
	repeat := time.NewTicker(time.Second)
	defer repeat.Stop()
	end := time.After(patience)
	for {
		select {
		case reply := <-u.replies:
			status, _, _ := strings.Cut(reply, "\r\n")
			if strings.HasPrefix(status, "SIP/2.0 1") {
				continue
			}
			if !strings.HasPrefix(status, "SIP/2.0 200") {
				u.t.Fatalf("the phone answers %s to\n%s", status, body)
			}
			u.send(phone, request("ACK", field(reply, "To"), nil))
			_, answer, _ := strings.Cut(reply, "\r\n\r\n")
			d, err := sdp.Parse([]byte(answer))
			if err != nil {
				u.t.Fatal(err)
			}
			r, err := transport.RemoteOf(d, d.Media[0], u.want)
			if err != nil {
				u.t.Fatal(err)
			}
			r.Answer = true
			if err := u.x.SetRemote(r); err != nil {
				u.t.Fatalf("%v\n%s\n%s", err, body, answer)
			}
			return
		case <-repeat.C:
			u.send(phone, request("INVITE", to, body))
		case <-end:
			u.t.Fatal("the phone does not answer")
		}
	}
}
