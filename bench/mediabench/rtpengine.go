package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/sdp"
)

func rtpengineArgs(port int) []string {
	return []string{"--config-file=none", "--foreground", "--log-stderr", "--log-level=4", "--table=-1",
		"--interface=" + here.String(), "--listen-ng=" + net.JoinHostPort(here.String(), strconv.Itoa(port)),
		"--port-min=30000", "--port-max=39999", "--delete-delay=0"}
}

// startRTPEngine starts it without its kernel module.
func startRTPEngine(ctx context.Context) (*running, error) {
	probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		return nil, err
	}
	at := probe.LocalAddr().(*net.UDPAddr).AddrPort()
	probe.Close()
	cmd := exec.CommandContext(ctx, "rtpengine", rtpengineArgs(int(at.Port()))...)
	cmd.Stderr = os.Stderr
	stop, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	ng, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	c := &control{conn: ng}
	end := func() error { return errors.Join(ng.Close(), stop()) }
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err = c.ask(map[string]any{"command": "ping"}, 200*time.Millisecond); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("rtpengine does not answer: %w", err), end())
		}
	}
	return &running{
		group: cmd.Process.Pid,
		stop:  end,
		connect: func(_ context.Context, n int, k kind, one, other netip.AddrPort) (toOne, toOther netip.AddrPort, err error) {
			common := func(command string, from netip.AddrPort, codec string) map[string]any {
				return map[string]any{
					"command": command, "call-id": fmt.Sprintf("call-%d", n), "from-tag": "one",
					"ICE": "remove", "transport-protocol": "RTP/AVP", "replace": []any{"origin", "session-connection"},
					"sdp": description(from, codec),
				}
			}
			offer := common("offer", one, k.one)
			if k.one != k.other {
				offer["codec"] = map[string]any{"mask": []any{"all"}, "transcode": []any{rtpmap(k.other)}}
			}
			a, err := c.ask(offer, 2*time.Second)
			if err != nil {
				return toOne, toOther, err
			}
			if toOther, err = portOf(a); err != nil {
				return toOne, toOther, err
			}
			answer := common("answer", other, k.other)
			answer["to-tag"] = "other"
			if a, err = c.ask(answer, 2*time.Second); err != nil {
				return toOne, toOther, err
			}
			toOne, err = portOf(a)
			return toOne, toOther, err
		},
	}, nil
}

func rtpmap(codec string) string {
	if codec == opusName {
		return "opus/48000/2"
	}
	return codec + "/8000"
}

func description(at netip.AddrPort, codec string) string {
	t := payloadTypes[codec]
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP %[3]d\r\na=rtpmap:%[3]d %[4]s\r\na=ptime:20\r\na=sendrecv\r\n",
		at.Addr(), at.Port(), t, rtpmap(codec))
}

func portOf(answer map[string]any) (netip.AddrPort, error) {
	if answer["result"] != "ok" {
		return netip.AddrPort{}, fmt.Errorf("rtpengine: %v", answer)
	}
	text, _ := answer["sdp"].(string)
	d, err := sdp.Parse([]byte(text))
	if err != nil || len(d.Media) != 1 {
		return netip.AddrPort{}, fmt.Errorf("rtpengine: %w: %q", err, text)
	}
	return netip.AddrPortFrom(here, d.Media[0].MLine().Port), nil
}

// control speaks rtpengine's ng protocol: a cookie, then a dictionary in the encoding of BitTorrent.
type control struct {
	conn *net.UDPConn
	n    int
}

func (c *control) ask(what map[string]any, wait time.Duration) (map[string]any, error) {
	c.n++
	cookie := strconv.Itoa(c.n)
	if _, err := c.conn.Write(append([]byte(cookie+" "), bencode(nil, what)...)); err != nil {
		return nil, err
	}
	buf := make([]byte, 65536)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		n, err := c.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		of, body, _ := bytes.Cut(buf[:n], []byte(" "))
		if string(of) != cookie {
			continue
		}
		v, _, err := bdecode(body)
		answer, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, fmt.Errorf("rtpengine's answer %q: %w", body, err)
		}
		return answer, nil
	}
}

func bencode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		dst = append(strconv.AppendInt(dst, int64(len(v)), 10), ':')
		dst = append(dst, v...)
	case []any:
		dst = append(dst, 'l')
		for _, e := range v {
			dst = bencode(dst, e)
		}
		dst = append(dst, 'e')
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		dst = append(dst, 'd')
		for _, k := range keys {
			dst = bencode(bencode(dst, k), v[k])
		}
		dst = append(dst, 'e')
	}
	return dst
}

var errBencode = errors.New("not bencode")

func bdecode(b []byte) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errBencode
	}
	switch b[0] {
	case 'i':
		n, rest, ok := strings.Cut(string(b[1:]), "e")
		if !ok {
			return nil, nil, errBencode
		}
		return n, []byte(rest), nil
	case 'l', 'd':
		var list []any
		for rest = b[1:]; len(rest) > 0 && rest[0] != 'e'; list = append(list, v) {
			if v, rest, err = bdecode(rest); err != nil {
				return nil, nil, err
			}
		}
		if len(rest) == 0 {
			return nil, nil, errBencode
		}
		if b[0] == 'l' {
			return list, rest[1:], nil
		}
		m := map[string]any{}
		for i := 0; i+1 < len(list); i += 2 {
			k, _ := list[i].(string)
			m[k] = list[i+1]
		}
		return m, rest[1:], nil
	}
	size, rest, ok := bytes.Cut(b, []byte(":"))
	n, err := strconv.Atoi(string(size))
	if !ok || err != nil || n < 0 || n > len(rest) {
		return nil, nil, errBencode
	}
	return string(rest[:n]), rest[n:], nil
}
