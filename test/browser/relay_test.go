package browser

import (
	"testing"

	"parley/test/parleytest"
)

// Two browsers that may use nothing but relays call each other through ours, with credentials that they got by SIP.
func TestRelay(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	b, host := launch(t), s.Addr.String()
	alice, bob := visit(t, b, host, "alice"), visit(t, b, host, "bob")
	for _, p := range []*person{alice, bob} {
		p.must(p.Command(p.ctx(), "Page.navigate", map[string]any{"url": "https://" + host + "/client/?relay=only"}))
		p.await(`location.search === "?relay=only" && document.querySelector("#address")`)
		p.signIn(parleytest.Password)
		p.await(`document.querySelector(".shell")`)
	}
	alice.talksTo("bob")
	alice.click("#call-video")
	bob.click(`[data-key="answervideo"]`)
	const relayed = `(async () => {
		const all = [...(await pcs.at(-1).getStats()).values()], by = Object.fromEntries(all.map((s) => [s.id, s]));
		const pairs = all.filter((s) => s.type === "candidate-pair" && s.nominated && s.state === "succeeded");
		return pairs.length > 0 && pairs.every((p) => by[p.localCandidateId].candidateType === "relay" && by[p.remoteCandidateId].candidateType === "relay");
	})()`
	for _, p := range []*person{alice, bob} {
		p.await(hears)
		p.await(views)
		p.await(relayed)
	}
	alice.click(`[data-key="hangup"]`)
	bob.sees("Call ended")
	alice.clean()
	bob.clean()
}
