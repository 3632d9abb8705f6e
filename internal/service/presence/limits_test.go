package presence_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"parley/internal/xmldoc/batchsub"
	"parley/internal/xmldoc/categories"
)

// Whoever publishes without end is asked to wait, and others are not.
func TestPace(t *testing.T) {
	n := start(t)
	a, b := signIn(t, n, "alice"), signIn(t, n, "bob")
	stale := pub("note", 0, 200, categories.Static, "<note/>")
	stale.Version = 7 // is refused, and counts all the same
	body := string(categories.AppendPublish(nil, a.uri(), []categories.Publication{stale}))
	for i := 0; ; i++ {
		m := a.Request("SERVICE", a.uri(), a.uri(), h("Content-Type", categories.PublishType))
		m.Body = body
		answer, err := a.Final(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Code() == 409 {
			continue
		}
		if wait, err := strconv.Atoi(answer.Get("Retry-After")); answer.Code() != 503 || err != nil || wait < 1 || wait > 60 {
			t.Errorf("answer\n%s", answer)
		}
		if i < 120 {
			t.Errorf("only %d are allowed at once", i)
		}
		break
	}
	b.roam()
	b.online(6500)
}

// Nobody has the server watch more people, or in more dialogs, than his policy says.
func TestManyWatched(t *testing.T) {
	n := start(t)
	const utmost = 2
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", map[string]any{"policy": map[string]int{"maxSubscriptions": utmost}}, nil); err != nil {
		t.Fatal(err)
	}
	a := signIn(t, n, "alice")
	if got := a.watch("alice", "bob", "carol"); len(got) != utmost {
		t.Errorf("%d watched in one batch", len(got))
	}
	if !strings.Contains(a.answer.Body, `uri="sip:carol@example.test"><instance id="0" state="terminated"`) {
		t.Errorf("what became of the third\n%s", a.answer.Body)
	}
	subscribe := func(code int) {
		t.Helper()
		a.subscribe(code, "presence", accepts, batchsub.MediaType, batch("subscribe", a, "bob"), h("Require", "adhoclist, categoryList"), h("Supported", "eventlist"))
	}
	subscribe(200)
	subscribe(403)
	a.Ask(200, a.inBatch("", h("Expires", "0")))
	subscribe(200)
	subscribe(403)
}
