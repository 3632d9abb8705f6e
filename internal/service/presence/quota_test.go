package presence

import "testing"

func TestQuota(t *testing.T) {
	var q quota
	for i, want := range []bool{true, true, false} {
		if q.take("alice@example.test", 1, 2) != want {
			t.Errorf("%d: not %v", i, want)
		}
	}
	if !q.take("bob@example.test", 2, 2) || q.take("bob@example.test", 1, 2) {
		t.Error("another has his own")
	}
	q.give("alice@example.test", 2)
	if q.take("alice@example.test", 3, 2) || !q.take("alice@example.test", 1, 2) {
		t.Error("what was given back is not there")
	}
	q.give("alice@example.test", 1)
	q.give("bob@example.test", 2)
	if len(q.used) != 0 {
		t.Errorf("left %v", q.used)
	}
	if !q.take("", 1_000_000, 2) {
		t.Error("a server that watches for others is not one user")
	}
}
