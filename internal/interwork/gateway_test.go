package interwork

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract/binding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func bound(id string) *binding.Binding { return &binding.Binding{Contact: id} }

// talk is a call between two devices up to the ACK.
func talk(t *testing.T, from, to *device, offer, answer string) (offered, answered string) {
	t.Helper()
	from.invite(offer)
	offered = to.gets("INVITE")
	to.reply(200, answer)
	answered = from.gets("200")
	from.ack("")
	to.gets("ACK")
	return offered, answered
}

func TestBrowserCallsPhone(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Unknown, phone)
	offered, answered := talk(t, alice, phone, browser, answerAudio)
	wants(t, offered, "m=audio 40000 RTP/AVP 111 9 0 8 101", "c=IN IP4 127.0.0.1", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
		"a=rtpmap:111 opus/48000/2", "a=sendrecv", "-a=fingerprint", "-a=ice", "-a=rtcp-mux", "-a=group", "-a=rtpmap:63", "-a=mid")
	wants(t, answered, "m=audio 40002 UDP/TLS/RTP/SAVPF 8 126", "a=fingerprint:sha-256", "a=setup:active", "a=rtcp-mux", "a=ice-lite",
		"a=mid:a", "a=group:BUNDLE a", "a=sendrecv", "-a=crypto", "-a=rtpmap:111")
	b := w.engine.only(t)
	if got, want := b.String(), "sendrecv: gets 8=PCMA 126=telephone-event, says 8=PCMA 126=telephone-event; sendrecv: gets 8=PCMA 97=telephone-event, says 8=PCMA 101=telephone-event 97=telephone-event"; got != want {
		t.Errorf("bridge: %s\nwant    %s", got, want)
	}
	if st := w.engine.state(); st != "2 ports, 1 bridges" {
		t.Error(st)
	}
	phone.request("BYE", "")
	alice.gets("BYE")
	alice.reply(200, "")
	phone.gets("200")
	if st := w.engine.state(); st != "0 ports, 0 bridges" {
		t.Errorf("after the end: %s", st)
	}
}

func TestPhoneCallsBrowser(t *testing.T) {
	w := start(t)
	phone, bob := w.device("phone"), w.device("bob")
	w.ring(Browser, bob)
	answer := strings.Replace(browser, "actpass", "active", 1)
	answer = strings.Replace(answer, "111 63 9 0 8 110 126", "111 9 0 126", 1)
	answer = strings.ReplaceAll(answer, ":126 ", ":110 ")
	offered, answered := talk(t, phone, bob, plainAudio, strings.Replace(answer, "0 126", "0 110", 1))
	wants(t, offered, "m=audio 40000 UDP/TLS/RTP/SAVPF 0 8 111 9 101 110", "a=fingerprint", "a=setup:actpass", "a=ice-lite", "a=mid:0", "a=group:BUNDLE 0", "a=rtcp-mux", "-a=crypto")
	wants(t, answered, "m=audio 40002 RTP/AVP 0 101", "-a=crypto", "-a=ice", "-a=mid", "-a=fingerprint")
	// And it is the phone that ends the call.
	phone.request("BYE", "")
	bob.gets("BYE")
	bob.reply(481, "")
	phone.gets("481")
	if st := w.engine.state(); st != "0 ports, 0 bridges" {
		t.Errorf("after the end: %s", st)
	}
}

func TestEqualEndsAreLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		known         Profile
		offer, answer string
	}{
		"phones":            {Unknown, plainAudio, answerAudio},
		"known phones":      {Phone, plainAudio, answerAudio},
		"phones with SRTP":  {Secure, secureAudio, secureAudio},
		"browsers":          {Browser, browserVideo, browserVideo},
		"neither of it RTP": {Browser, head + "m=message 2855 TCP/MSRP *\n", head + "m=message 2855 TCP/MSRP *\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			alice, bob := w.device("alice"), w.device("bob")
			w.ring(c.known, bob)
			offered, answered := talk(t, alice, bob, c.offer, c.answer)
			if strings.ReplaceAll(offered, "\r", "") != c.offer || strings.ReplaceAll(answered, "\r", "") != c.answer {
				t.Errorf("a description was changed:\n%s\n%s", offered, answered)
			}
			if w.g.eng != nil || w.engine.opened > 0 {
				t.Error("the engine was started for nothing")
			}
		})
	}
}

// A phone without SRTP calls one that insists on it; the second time it is known.
func TestPhoneThatInsistsOnSRTP(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Unknown, bob)
	alice.invite(plainAudio)
	if got := bob.gets("INVITE"); !strings.Contains(got, "192.0.2.1") {
		t.Errorf("the first offer was touched:\n%s", got)
	}
	bob.far = ""
	bob.reply(488, "")
	bob.gets("ACK")
	wants(t, bob.gets("INVITE"), "m=audio 40000 RTP/AVP 0 8", "a=crypto")
	bob.far = ""
	bob.reply(488, "")
	bob.gets("ACK")
	wants(t, bob.gets("INVITE"), "m=audio 40000 RTP/SAVP 0 8", "a=crypto")
	bob.reply(200, secureAudio)
	wants(t, alice.gets("200"), "m=audio 40002 RTP/AVP 0 101", "-a=crypto")
	alice.ack("")
	bob.gets("ACK")
	alice.request("BYE", "")
	bob.gets("BYE")
	bob.reply(200, "")
	alice.gets("200")

	carol := w.device("carol")
	bob2 := w.device("bob")
	w.ring(Unknown, bob2)
	offered, _ := talk(t, carol, bob2, plainAudio, secureAudio)
	wants(t, offered, "m=audio 40004 RTP/SAVP 0 8")
}

// An answer without keys to an offer that demands them is no answer.
func TestKeysAreNotGivenUp(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Secure, bob)
	_, answered := talk(t, alice, bob, plainAudio, strings.Replace(answerAudio, "RTP/AVP", "RTP/SAVP", 1))
	wants(t, answered, "m=audio 0 RTP/AVP")
}

func TestHoldAndResume(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	b := w.engine.only(t)

	hold := strings.Replace(strings.Replace(browser, "o=- 9 2", "o=- 9 3", 1), "sendrecv", "sendonly", 1)
	offered, answered := talk(t, alice, phone, hold, strings.Replace(answerAudio, "sendrecv", "recvonly", 1))
	wants(t, offered, "m=audio 40000 RTP/AVP", "a=sendonly", "o=- ")
	wants(t, answered, "m=audio 40002 UDP/TLS/RTP/SAVPF 8 126", "a=recvonly")
	if got := b.String(); !strings.HasPrefix(got, "recvonly: gets 8=PCMA") || !strings.Contains(got, "; sendonly") {
		t.Errorf("held by the caller: %s", got)
	}
	// The phone does it the old way, with the address zero.
	old := strings.Replace(answerAudio, "c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0", 1)
	phone.invite(old)
	offered = alice.gets("INVITE")
	wants(t, offered, "m=audio 40002 UDP/TLS/RTP/SAVPF", "a=sendonly", "a=setup:actpass", "a=mid:a")
	alice.reply(200, strings.Replace(strings.Replace(browser, "sendrecv", "recvonly", 1), "actpass", "active", 1))
	wants(t, phone.gets("200"), "m=audio 40000 RTP/AVP", "a=recvonly")
	phone.ack("")
	alice.gets("ACK")
	if got := b.String(); !strings.HasPrefix(got, "sendonly") || !strings.Contains(got, "; recvonly") {
		t.Errorf("held by the phone: %s", got)
	}
	offered, _ = talk(t, alice, phone, strings.Replace(browser, "o=- 9 2", "o=- 9 4", 1), answerAudio)
	wants(t, offered, "a=sendrecv")
	if got := b.String(); !strings.HasPrefix(got, "sendrecv") {
		t.Errorf("resumed: %s", got)
	}
}

// A refresh changes nothing: the descriptions are the same, with their versions.
func TestRefreshIsTheSameAgain(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	_, a1 := talk(t, alice, phone, browser, answerAudio)
	o2, a2 := talk(t, alice, phone, browser, answerAudio)
	o3, a3 := talk(t, alice, phone, browser, answerAudio)
	if a1 != a2 || a2 != a3 || o2 != o3 {
		t.Errorf("changed:\n%s\n%s\n%s\n%s\n%s", a1, a2, a3, o2, o3)
	}
}

func TestVersionGrowsByOne(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	o1, a1 := talk(t, alice, phone, browser, answerAudio)
	o2, a2 := talk(t, alice, phone, strings.Replace(browser, "sendrecv", "inactive", 1), strings.Replace(answerAudio, "sendrecv", "inactive", 1))
	for _, x := range [][2]string{{o1, o2}, {a1, a2}} {
		before, _ := parse(t, x[0]).Origin()
		after, _ := parse(t, x[1]).Origin()
		if after.Version != before.Version+1 || after.ID != before.ID {
			t.Errorf("%v follows %v", after, before)
		}
	}
}

func TestOfferlessInvite(t *testing.T) {
	w := start(t)
	phone, bob := w.device("phone"), w.device("bob")
	w.ring(Browser, bob)
	phone.invite("")
	if got := bob.gets("INVITE"); got != "" {
		t.Errorf("an offer out of nothing:\n%s", got)
	}
	bob.reply(200, browser)
	wants(t, phone.gets("200"), "m=audio 40000 RTP/AVP 111 9 0 8 101", "a=crypto", "-a=fingerprint")
	bob.reply(200, browser) // again
	wants(t, phone.gets("200"), "m=audio 40000 RTP/AVP 111 9 0 8 101", "a=crypto", "-a=fingerprint")
	phone.ack(answerAudio)
	wants(t, bob.gets("ACK"), "m=audio 40002 UDP/TLS/RTP/SAVPF 8 126", "a=setup:active", "a=mid:a")
	w.engine.only(t)
	// And once more within the call, from the other side.
	bob.invite("")
	phone.gets("INVITE")
	phone.reply(200, answerAudio)
	wants(t, bob.gets("200"), "m=audio 40002 UDP/TLS/RTP/SAVPF 8", "a=setup:actpass")
	bob.ack(strings.Replace(browser, "actpass", "active", 1))
	wants(t, phone.gets("ACK"), "m=audio 40000 RTP/AVP 8")
}

func TestOfferlessInviteBetweenEqualEnds(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Unknown, bob)
	alice.invite("")
	bob.gets("INVITE")
	bob.reply(200, plainAudio)
	if got := alice.gets("200"); strings.ReplaceAll(got, "\r", "") != plainAudio {
		t.Errorf("touched:\n%s", got)
	}
}

// Early media of two branches of one call: the caller hears the last one that spoke, then the one that is answered.
func TestEarlyMediaOfForks(t *testing.T) {
	w := start(t)
	alice, p, q := w.device("alice"), w.device("p"), w.device("q")
	w.ring(Phone, p, q)
	alice.invite(browser)
	op, oq := p.gets("INVITE"), q.gets("INVITE")
	wants(t, op, "m=audio 40000 RTP/AVP")
	wants(t, oq, "m=audio 40004 RTP/AVP") // the caller's side has one port for both
	p.reply(183, answerAudio)
	ap := alice.gets("183")
	q.reply(183, strings.Replace(answerAudio, "7000", "7100", 1))
	aq := alice.gets("183")
	wants(t, ap, "m=audio 40002 UDP/TLS")
	wants(t, aq, "m=audio 40002 UDP/TLS")
	w.engine.only(t)
	if p := w.engine.only(t).legs[callee].Transport.(*port); p.n != 40004 {
		t.Errorf("the caller hears port %d", p.n)
	}
	p.reply(200, answerAudio)
	if got := alice.gets("200"); got != ap {
		t.Errorf("the answer is another than that of the 183:\n%s", got)
	}
	if p := w.engine.only(t).legs[callee].Transport.(*port); p.n != 40000 {
		t.Errorf("after the answer the caller hears port %d", p.n)
	}
	q.gets("CANCEL")
	cancelled := q.last
	q.last = nil
	_ = cancelled
}

func TestCancel(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	alice.invite(browser)
	phone.gets("INVITE")
	inv := phone.last
	phone.reply(183, answerAudio)
	alice.gets("183")
	alice.far = ""
	alice.rt = nil
	alice.Send(strings.Join([]string{"CANCEL sip:bob@example.test SIP/2.0", "Via: $via;branch=z9hG4bKaliceINVITE1;rport", "Max-Forwards: 70",
		"From: <sip:alice@example.test>;tag=alice", "To: <sip:other@example.test>", "Call-ID: call", "CSeq: 1 CANCEL", "", ""}, "\n"))
	alice.Expect("200")
	phone.gets("CANCEL")
	phone.reply(200, "")
	phone.last = inv
	phone.reply(487, "")
	phone.gets("ACK")
	alice.Expect("487")
	if st := w.engine.state(); st != "0 ports, 0 bridges" {
		t.Errorf("after CANCEL: %s", st)
	}
}

func TestVideoIsAddedAndRemoved(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	video := answerAudio + "m=video 7002 RTP/AVP 103\na=rtpmap:103 H264/90000\na=fmtp:103 packetization-mode=1;profile-level-id=42801e\n"
	offered, answered := talk(t, alice, phone, browserVideo, strings.Replace(video, "42801e", "42001e", 1))
	wants(t, offered, "m=video 40004 RTP/AVP 96 102", "-a=rtpmap:97 rtx")
	wants(t, answered, "m=video 40006 UDP/TLS/RTP/SAVPF 102", "a=mid:b", "a=group:BUNDLE a")
	if st := w.engine.state(); st != "4 ports, 2 bridges" {
		t.Error(st)
	}
	// The phone has no codec that the browser has.
	_, answered = talk(t, alice, phone, browserVideo, answerAudio+"m=video 0 RTP/AVP 103\n")
	wants(t, answered, "m=video 0 UDP/TLS/RTP/SAVPF", "m=audio 40002")
	if st := w.engine.state(); st != "2 ports, 1 bridges" {
		t.Error(st)
	}
	off := strings.Replace(browserVideo, "m=video 9 ", "m=video 0 ", 1)
	offered, answered = talk(t, alice, phone, off, answerAudio+"m=video 0 RTP/AVP 103\n")
	wants(t, offered, "m=video 0 RTP/AVP")
	wants(t, answered, "m=video 0 ")
}

func TestChangeThatIsRefused(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	before := w.engine.only(t).String()
	alice.invite(browserVideo)
	phone.gets("INVITE")
	phone.reply(491, "")
	phone.gets("ACK")
	alice.gets("491")
	if st := w.engine.state(); st != "2 ports, 1 bridges" || w.engine.only(t).String() != before {
		t.Errorf("after a refusal: %s, %s", st, w.engine.only(t))
	}
	// It goes on as before.
	talk(t, alice, phone, browser, answerAudio)
}

// Both change the call at the same time, and both are refused.
func TestGlare(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	before := w.engine.only(t).String()
	alice.invite(strings.Replace(browser, "sendrecv", "sendonly", 1))
	phone.invite(answerAudio)
	phone.gets("INVITE")
	toPhone := phone.last
	alice.gets("INVITE")
	alice.reply(491, "")
	alice.gets("ACK")
	phone.last = toPhone
	phone.reply(491, "")
	for range 2 { // in any order
		if m := phone.Receive(); m.IsRequest() != (string(m.MethodName()) == "ACK") {
			t.Errorf("got %s", m.Raw())
		}
	}
	alice.gets("491")
	if got := w.engine.only(t).String(); got != before {
		t.Errorf("changed: %s", got)
	}
}

func TestMalformedOffer(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Phone, bob)
	talk(t, alice, bob, browser, answerAudio)
	alice.invite("v=0\nnonsense\n")
	alice.gets("400")
	bob.Quiet()

	w = start(t)
	alice, bob = w.device("alice"), w.device("bob")
	w.ring(Unknown, bob)
	alice.invite("v=0\nnonsense\n") // nobody needs the engine, so it passes
	bob.gets("INVITE")
}

func TestMalformedAnswer(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Phone, bob)
	_, answered := talk(t, alice, bob, browserVideo, "v=0\nnonsense\n")
	wants(t, answered, "m=audio 0 UDP/TLS/RTP/SAVPF", "m=video 0 UDP")
	if st := w.engine.state(); st != "0 ports, 0 bridges" {
		t.Error(st)
	}
}

func TestNoPorts(t *testing.T) {
	w := start(t)
	w.engine.full = true
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Phone, bob)
	alice.invite(browser)
	alice.gets("500")
	bob.Quiet()
	if len(w.g.all()) != 0 {
		t.Error("a session is left")
	}
}

// One user cannot take all ports.
func TestCallsOfOneUserAreBounded(t *testing.T) {
	g := start(t).g
	key := func(n int) sessionKey { return sessionKey{id: strconv.Itoa(n)} }
	var first *session
	for n := range perUser {
		s, err := g.session(key(n), &end{}, "alice@example.test")
		if s == nil || err != nil {
			t.Fatal(n, err)
		}
		if first == nil {
			first = s
		}
	}
	if s, err := g.session(key(perUser), &end{}, "alice@example.test"); s != nil || err == nil {
		t.Error("one more was let in")
	}
	if s, err := g.session(key(perUser), &end{}, "bob@example.test"); s == nil || err != nil {
		t.Error(err)
	}
	first.mu.Lock()
	first.close()
	first.mu.Unlock()
	if s, err := g.session(key(0), &end{}, "alice@example.test"); s == nil || err != nil {
		t.Error(err)
	}
}

func TestUnknownBodiesPass(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Browser, bob)
	alice.Send("INVITE sip:bob@example.test SIP/2.0\nVia: $via;branch=z9hG4bKx;rport\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 INVITE\nContent-Type: text/plain\n\nm=audio 1 RTP/AVP 0")
	if m := bob.Expect("INVITE"); string(m.Body()) != "m=audio 1 RTP/AVP 0" {
		t.Errorf("%s", m.Raw())
	}
}

// Of alternatives the last one that is understood counts.
func TestAlternatives(t *testing.T) {
	w := start(t)
	alice, bob := w.device("alice"), w.device("bob")
	w.ring(Browser, bob)
	part := func(head, text string) string { return "--x\n" + head + "\n\n" + text + "\n" }
	alice.Send("INVITE sip:bob@example.test SIP/2.0\nVia: $via;branch=z9hG4bKx;rport\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 INVITE\nContent-Type: multipart/alternative;boundary=x\n\n" +
		part("Content-Type: application/sdp\nContent-Disposition: session; handling=optional; ms-proxy-2007fallback", strings.Replace(plainAudio, "RTP/AVP 0 8", "RTP/AVP 4 8", 1)) +
		part("Content-Type: application/sdp", plainAudio) + part("Content-Type: text/plain", "no") + "--x--\n")
	m := bob.Expect("INVITE")
	wants(t, string(m.Body()), "m=audio 40000 UDP/TLS/RTP/SAVPF 0 8")
	if got := string(m.Header(m.Field(0).ID)); got == "" || !strings.Contains(string(m.Head()), "application/sdp") {
		t.Errorf("%s", m.Raw())
	}
}

// A restart of ICE concerns one end: its port hears of it, and the other end gets the same offer again.
func TestICERestart(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	o1, _ := talk(t, alice, phone, browser, answerAudio)
	o1again, _ := talk(t, alice, phone, browser, answerAudio)
	restart := strings.NewReplacer("a=ice-ufrag:EsAw", "a=ice-ufrag:NewF", "bP+XJMM09aR8AiX1jdukzR6Y", "anotherpasswordof24chars", "o=- 9 2", "o=- 9 3").Replace(browser)
	o2, _ := talk(t, alice, phone, restart, answerAudio)
	if o2 != o1again || parse(t, o1).Media[0].MLine().Port != parse(t, o2).Media[0].MLine().Port {
		t.Errorf("the phone's offer changed:\n%s\n%s", o1again, o2)
	}
	p := w.engine.only(t).legs[caller].Transport.(*port)
	last := p.remotes[len(p.remotes)-1]
	if last.ICE == nil || last.ICE.Ufrag != "NewF" || last.Answer {
		t.Errorf("the port heard %+v", last)
	}
}

func TestCodecChange(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	_, answered := talk(t, alice, phone, browser, strings.Replace(answerAudio, "RTP/AVP 8 97", "RTP/AVP 9 97", 1))
	wants(t, answered, "m=audio 40002 UDP/TLS/RTP/SAVPF 9 126")
	// The phone changes to something that the browser does not have: it is converted.
	ilbc := strings.Replace(browser, " 9 0 8 ", " ", 1)
	_, answered = talk(t, alice, phone, ilbc, answerAudio)
	wants(t, answered, "m=audio 40002 UDP/TLS/RTP/SAVPF 111 110 126")
	if got := w.engine.only(t).String(); !strings.Contains(got, "gets 111=opus") || !strings.Contains(got, "gets 8=PCMA") {
		t.Error(got)
	}
}

// A Lync client and a phone, by their descriptions.
func TestLyncAndPhone(t *testing.T) {
	text, err := os.ReadFile("../sdp/testdata/lync.sdp")
	if err != nil {
		t.Fatal(err)
	}
	lync := strings.ReplaceAll(string(text), "\r", "")
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	alice.epid = ";epid=0123456789"
	w.ring(Unknown, phone)
	offered, answered := talk(t, alice, phone, lync, answerAudio)
	wants(t, offered, "m=audio 40000 RTP/AVP ", "a=crypto:1", "a=rtpmap:8 PCMA", "-a=candidate", "-a=ice", "-a=x-")
	wants(t, answered, "m=audio 40002 RTP/SAVP 8 101", "a=ice-ufrag:u40002", "a=crypto:", "a=label:main-audio", "-a=rtcp-mux")
	alice.request("BYE", "")
	phone.gets("BYE")
	phone.reply(200, "")
	alice.gets("200")

	w = start(t)
	caller, bob := w.device("caller"), w.device("bob")
	w.ring(Lync, bob)
	offered, answered = talk(t, caller, bob, plainAudio, lync)
	wants(t, offered, "m=audio 40000 RTP/AVP 0 8", "a=crypto:1", "a=ice-ufrag:u40000", "-a=fingerprint", "-a=mid")
	wants(t, answered, "m=audio 40002 RTP/AVP ", "-a=crypto", "-a=ice", "-a=x-")
}

func TestSessionTimer(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	now := time.Now()
	w.g.Sweep(now)
	w.g.Sweep(now.Add(silence - time.Minute))
	if st := w.engine.state(); st != "2 ports, 1 bridges" {
		t.Fatalf("too early: %s", st)
	}
	w.g.Sweep(now.Add(silence + time.Minute))
	if st := w.engine.state(); st != "0 ports, 0 bridges" || w.g.counts.Lost.Load() != 1 {
		t.Errorf("a silent session is still there: %s", st)
	}
}

func TestBothConnectionsGone(t *testing.T) {
	w := start(t)
	alice, phone := w.device("alice"), w.device("phone")
	w.ring(Phone, phone)
	talk(t, alice, phone, browser, answerAudio)
	flows := w.Layer.Flows()
	alice.Close()
	phone.Close()
	for _, f := range flows {
		if f.Remote() == alice.Addr() || f.Remote() == phone.Addr() {
			<-f.Done()
		}
	}
	now := time.Now()
	w.g.Sweep(now)
	w.g.Sweep(now.Add(orphaned / 2))
	if st := w.engine.state(); st != "2 ports, 1 bridges" {
		t.Fatalf("too early: %s", st)
	}
	w.g.Sweep(now.Add(orphaned + time.Second))
	if st := w.engine.state(); st != "0 ports, 0 bridges" {
		t.Errorf("an orphan is still there: %s", st)
	}
}
