package stack

import (
	"math/rand/v2"
	"testing"
	"time"

	"parley/internal/sip"
)

func TestBranches(t *testing.T) {
	for range 1000 {
		id := rand.Uint64()
		b := make([]byte, branchLen)
		Base32(b, id)
		branch := []byte(sip.MagicCookie + branchMark + string(b))
		if got, ok := parseBranch(branch); !ok || got != id {
			t.Fatalf("%s read as %x, %v, want %x", branch, got, ok, id)
		}
		if BranchSuffix(branch) != nil || string(BranchSuffix(append(branch, ".loop"...))) != "loop" {
			t.Fatalf("suffix of %s", branch)
		}
	}
}

// FuzzBranch checks that what is read from a branch is what would be written into it.
func FuzzBranch(f *testing.F) {
	f.Add([]byte("z9hG4bKp.0123456789abc.suffix"))
	f.Add([]byte("z9hG4bK"))
	f.Fuzz(func(t *testing.T, branch []byte) {
		id, ok := parseBranch(branch)
		if !ok {
			if BranchSuffix(branch) != nil {
				t.Fatalf("a suffix in %q, which is none of ours", branch)
			}
			return
		}
		b := make([]byte, branchLen)
		Base32(b, id)
		if from := len(sip.MagicCookie) + len(branchMark); string(branch[from:from+branchLen]) != string(b) {
			t.Fatalf("%q read as %x, which is written %s", branch, id, b)
		}
	})
}

// owner is a timer of TestWheel.
type owner struct {
	node node
	at   time.Duration
	woke time.Duration
}

func (o *owner) wake(now time.Duration) { o.woke = now }
func (o *owner) forget(*shard)          {}

// TestWheel arms timers at random, moves some and stops some, and checks that each of the others comes once, not
// early, and not later than a slot and a tick.
func TestWheel(t *testing.T) {
	var sh shard
	start := time.Hour
	sh.init(start, 1000)
	var all []*owner
	for i := range 5000 {
		o := &owner{at: start + time.Duration(rand.Int64N(int64(10*time.Minute)))}
		if i%10 == 0 {
			o.at = start - time.Second // already over
		}
		o.node.owner = o
		sh.wheel.set(&o.node, start+time.Duration(rand.Int64N(int64(time.Hour))))
		sh.wheel.set(&o.node, o.at) // armed anew
		if i%7 == 0 {
			sh.wheel.set(&o.node, 0)
			o.at = 0
		}
		all = append(all, o)
	}
	step := 70 * time.Millisecond
	for now := start; now < start+11*time.Minute; now += step {
		if now > start+5*time.Minute && now < start+5*time.Minute+step {
			now += 2 * time.Minute // the clock stood still
		}
		for _, d := range sh.expire(now, nil) {
			d.wake(now)
		}
	}
	for _, o := range all {
		late := o.woke - max(o.at, start)
		switch {
		case o.at == 0 && o.woke != 0:
			t.Fatalf("stopped, but came at %v", o.woke)
		case o.at != 0 && (o.woke < o.at || o.node.in != nil):
			t.Fatalf("due at %v, came at %v", o.at, o.woke)
		case o.at != 0 && late > slotTime+2*step && (o.at < start+5*time.Minute-step || o.at > start+7*time.Minute):
			t.Fatalf("due at %v, came %v late", o.at, late)
		}
	}
}

func TestLingeringEndsInOrder(t *testing.T) {
	var sh shard
	sh.init(time.Hour, 3)
	var os []*owner
	for i := range 5 {
		o := &owner{at: time.Hour + time.Duration(i)*time.Second}
		o.node.owner = o
		sh.arm(&o.node, o.at, true)
		os = append(os, o)
	}
	if sh.linger.len != 3 || os[0].node.in != nil || os[1].node.in != nil {
		t.Fatalf("%d linger, want the last 3", sh.linger.len)
	}
	for _, d := range sh.expire(time.Hour+3*time.Second, nil) {
		d.wake(1)
	}
	if os[2].woke == 0 || os[3].woke == 0 || os[4].woke != 0 {
		t.Error("want the third and the fourth to have ended")
	}
	early := &owner{at: time.Hour}
	early.node.owner = early
	sh.arm(&early.node, early.at, true) // out of order: must not wait behind the others
	if early.node.in == &sh.linger {
		t.Error("entered behind one that ends later")
	}
}
