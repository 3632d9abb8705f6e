package registrar

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/sip"
	"parley/internal/sip/siptest"
	"parley/internal/uc"
)

// BenchmarkRefresh is a REGISTER from its parsed form to the changed table, for
// one of 20,000 users who are signed in.
func BenchmarkRefresh(b *testing.B) {
	const users = 20_000
	table := binding.NewTable()
	now := binding.At(time.Now())
	var msgs [users]*sip.Message
	var aors [users]uc.AOR
	for i := range msgs {
		aors[i] = uc.AOR(fmt.Sprintf("user%d@example.test", i))
		msgs[i] = new(sip.Message)
		raw := siptest.Text(fmt.Sprintf("REGISTER sip:example.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\nFrom: <sip:%s>;tag=1\nTo: <sip:%s>\nCall-ID: %d\nCSeq: 1 REGISTER\nContact: <sip:user%d@192.0.2.1:5060>;expires=600\nContent-Length: 0\n\n", i, aors[i], aors[i], i, i))
		if err := msgs[i].Parse(raw, nil); err != nil {
			b.Fatal(err)
		}
	}
	var s scratch
	var cseq uint32
	round := func(i int) {
		req, err := s.read(msgs[i], aors[i], nil)
		if err != nil {
			b.Fatal(err)
		}
		req.CSeq = cseq
		var res Result
		table.Update(aors[i], func(own []*binding.Binding) []*binding.Binding {
			res = Step(now, own, req, DefaultRules, table.NextGen)
			return res.Set
		})
		if res.Err != nil || len(res.Set) != 1 {
			b.Fatal(res.Err)
		}
	}
	for i := range msgs {
		round(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		cseq = uint32(i + 2)
		round(i % users)
	}
}
