package turn

import (
	"sync"
	"sync/atomic"
	"time"
)

// Users counts allocations and traffic over the servers of a relay. It is safe for concurrent use.
type Users struct {
	perUser, total int
	rate           int64

	mu sync.Mutex
	n  int
	m  map[UserID]*user
}

// user is somebody who has allocations.
type user struct {
	all    *Users
	id     UserID
	n      int // guarded by all.mu
	second atomic.Int64
	bytes  [2]atomic.Int64 // in that second, each way
}

// NewUsers returns a table with at most perUser allocations of one user and total in all, and rate octets a second each way
// for one user; 0 is no bound.
func NewUsers(perUser, total int, rate int64) *Users {
	return &Users{perUser: perUser, total: total, rate: rate, m: make(map[UserID]*user)}
}

// take counts an allocation. It returns nil when the user, or everybody together, has as many as may be.
func (u *Users) take(id UserID) *user {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.m[id]
	if u.total > 0 && u.n >= u.total || x != nil && u.perUser > 0 && x.n >= u.perUser {
		return nil
	}
	if x == nil {
		x = &user{all: u, id: id}
		u.m[id] = x
	}
	x.n++
	u.n++
	return x
}

func (x *user) release() {
	u := x.all
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n--
	if x.n--; x.n == 0 {
		delete(u.m, x.id)
	}
}

// Len is how many users have allocations.
func (u *Users) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.m)
}

// The two ways of traffic.
const (
	toPeer = iota
	toClient
)

// spend counts octets of a second against the user's rate.
func (x *user) spend(way, n int, now time.Time) bool {
	rate := x.all.rate
	if rate == 0 {
		return true
	}
	if sec := now.Unix(); x.second.Load() != sec {
		x.second.Store(sec)
		x.bytes[toPeer].Store(0)
		x.bytes[toClient].Store(0)
	}
	return x.bytes[way].Add(int64(n)) <= rate
}
