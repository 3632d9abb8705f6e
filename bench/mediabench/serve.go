package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/pprof"

	"parley/internal/media/engine"
	"parley/internal/media/ports"
	"parley/internal/media/transport"
	"parley/internal/sdp"
)

// serve is the process of parley: it makes calls as it is told on its standard input, until that ends.
func serve(args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	profile := f.String("cpuprofile", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	e, err := engine.New(engine.Config{Audio: ports.Range{First: 49152, Last: 57500}})
	if err != nil {
		return err
	}
	var open []io.Closer
	defer func() {
		_ = e.Close()
		for _, c := range open {
			_ = c.Close()
		}
	}()
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var q request
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a reply
		var legs [2]engine.Leg
		for i, to := range q.Ends {
			t, err := e.Transport(engine.Audio, transport.Config{Listen: here})
			if err != nil {
				return err
			}
			open = append(open, t)
			if err := t.SetRemote(transport.Remote{RTP: to, RTCP: netip.AddrPortFrom(to.Addr(), to.Port()+1), Keying: sdp.Plain}); err != nil {
				return err
			}
			c, err := codec(q.Codecs[i])
			if err != nil {
				return err
			}
			legs[i] = engine.Leg{Transport: t, Receive: c, Send: c, Direction: sdp.SendRecv}
			a.Ends[i] = netip.AddrPortFrom(here, t.Local().RTP)
		}
		if _, err := e.Bridge(engine.Audio, legs[0], legs[1]); err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func codec(name string) ([]sdp.Codec, error) {
	for _, c := range engine.Codecs() {
		if c.Name == name {
			c.Type = payloadTypes[name]
			return []sdp.Codec{c}, nil
		}
	}
	return nil, fmt.Errorf("no codec %s in this build: it takes -tags opus", name)
}
