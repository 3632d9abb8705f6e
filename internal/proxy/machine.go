package proxy

// machine decides what a forwarded request needs: which branches to start and to cancel, which responses to pass
// on, and which one is best (RFC 3261 16.7). It knows nothing of messages, flows and clocks.
type machine struct {
	invite   bool
	noCancel bool // the caller asked to let the other branches ring (RFC 3841 "no-cancel")

	slots     []slot
	group     int
	open      int  // slots of the running group without final response
	best      int  // slot with the best final response so far, -1 for none
	stopped   bool // no further group is started
	cancelled bool // by the caller
	answered  bool // a final response was passed on, or somebody took over
}

// slot is the machine's view of one branch.
type slot struct {
	group  int
	state  slotState
	code   int  // final status
	cancel bool // was asked to be cancelled
}

type slotState uint8

const (
	waiting slotState = iota // its group has not begun
	trying                   // sent, nothing heard
	ringing                  // provisional response
	done                     // final response, or failed
)

type eventKind uint8

const (
	evStart    eventKind = iota
	evResponse           // branch answered with code
	evFailed             // branch ended without response; code says what that counts as
	evCancel             // the caller gave up
	evTimerC             // branch rings for too long
	evTimeout            // the running group takes too long
	evPaused             // a branch may be tried once more now; not for step
)

type actionKind uint8

const (
	actStart   actionKind = iota // send the branch's request
	actForward                   // pass on the response at hand
	actKeep                      // remember the response at hand, it is the best so far
	actCredit                    // remember the challenge of the response at hand
	actRefresh                   // restart Timer C of the branch
	actCancel                    // cancel the branch; code is the cause to name, 0 for none
	actTimer                     // restart the timer of the group
	actBest                      // answer with the best response, which is the branch's; -1 and code for our own
	actDone                      // nothing is left to decide; a 2xx may still come
)

type action struct {
	kind   actionKind
	branch int
	code   int
}

// step feeds one event and appends what has to be done, in order, to acts.
func (m *machine) step(kind eventKind, branch, code int, acts []action) []action {
	switch kind {
	case evStart:
		m.best = -1
		return m.next(acts)
	case evResponse:
		return m.response(branch, code, acts)
	case evFailed:
		if s := &m.slots[branch]; s.state != done {
			acts = m.final(branch, code, acts)
		}
	case evCancel:
		if m.answered || m.cancelled {
			return acts
		}
		m.cancelled, m.stopped = true, true
		acts = m.cancelRest(-1, 0, acts)
	case evTimerC:
		if s := &m.slots[branch]; s.state == trying || s.state == ringing {
			acts = m.giveUp(branch, acts)
		}
	case evTimeout:
		if code == m.group {
			acts = m.timeout(acts)
		}
	}
	return acts
}

// next starts the next group, or ends the attempt when there is none.
func (m *machine) next(acts []action) []action {
	if !m.stopped {
		group, found := 0, false
		for i := range m.slots {
			if s := &m.slots[i]; s.state == waiting && (!found || s.group < group) {
				group, found = s.group, true
			}
		}
		if found {
			m.group = group
			for i := range m.slots {
				if s := &m.slots[i]; s.state == waiting && s.group == group {
					s.state = trying
					m.open++
				}
			}
			acts = append(acts, action{kind: actTimer})
			for i := range m.slots {
				if s := &m.slots[i]; s.state == trying && s.group == group {
					acts = append(acts, action{kind: actStart, branch: i})
				}
			}
			return acts
		}
	}
	if !m.answered {
		m.answered = true
		acts = append(acts, m.choose())
	}
	return append(acts, action{kind: actDone})
}

// response handles a response of a branch.
func (m *machine) response(branch, code int, acts []action) []action {
	s := &m.slots[branch]
	switch {
	case code < 200:
		if s.state == done {
			return acts
		}
		first := s.state != ringing
		s.state = ringing
		if !m.invite {
			return acts
		}
		if first || code > 100 {
			acts = append(acts, action{kind: actRefresh, branch: branch})
		}
		if code > 100 && !m.answered {
			acts = append(acts, action{kind: actForward, branch: branch, code: code})
		}
		return acts

	case code < 300:
		// Every 2xx to INVITE is passed on, also that of a branch that was cancelled too late, and a second one
		// of the same branch, which comes from a fork further on (16.7 step 5).
		if m.invite || !m.answered {
			acts = append(acts, action{kind: actForward, branch: branch, code: code})
		}
		m.answered, m.stopped = true, true
		if !m.noCancel {
			acts = m.cancelRest(branch, 200, acts)
		}
		if s.state == done {
			return acts
		}
		return m.final(branch, code, acts)
	}
	if s.state == done {
		return acts
	}
	return m.final(branch, code, acts)
}

// mayRepeat reports whether a branch that has just failed may be tried once more: nobody has given up, and nobody
// else has answered.
func (m *machine) mayRepeat(branch int) bool {
	s := &m.slots[branch]
	return !m.stopped && !m.answered && !s.cancel && (s.state == trying || s.state == ringing)
}

// again takes such a branch back to its beginning.
func (m *machine) again(branch int) { m.slots[branch].state = trying }

// final records the final status of a branch and goes on when it was the last of its group.
func (m *machine) final(branch, code int, acts []action) []action {
	s := &m.slots[branch]
	s.state, s.code = done, code
	m.open--
	if !m.answered {
		if code == 401 || code == 407 {
			acts = append(acts, action{kind: actCredit, branch: branch, code: code})
		}
		if m.best < 0 || m.rank(code) < m.rank(m.slots[m.best].code) {
			m.best = branch
			acts = append(acts, action{kind: actKeep, branch: branch, code: code})
		}
		if code >= 600 {
			m.stopped = true
			acts = m.cancelRest(branch, code, acts)
		}
	}
	if m.open > 0 {
		return acts
	}
	return m.next(acts)
}

// timeout ends the running group.
func (m *machine) timeout(acts []action) []action {
	for i, group := 0, m.group; i < len(m.slots) && m.group == group && !m.answered; i++ {
		if s := &m.slots[i]; s.group == group && (s.state == trying || s.state == ringing) {
			acts = m.giveUp(i, acts)
		}
	}
	return acts
}

// giveUp ends a branch that takes too long, as if it had answered 408. It does not wait for what a CANCEL brings:
// a 487 is ignored then, and a 2xx that crosses it is passed on like any other. For other requests than INVITE it
// only sees to it that no further target is tried.
func (m *machine) giveUp(i int, acts []action) []action {
	return m.final(i, 408, m.cancelOne(i, 408, acts))
}

// cancelRest cancels every branch but one that still may be answered.
func (m *machine) cancelRest(but, cause int, acts []action) []action {
	if !m.invite {
		return acts // there is no way to take another request back (RFC 3261 9.1)
	}
	for i := range m.slots {
		if i != but {
			acts = m.cancelOne(i, cause, acts)
		}
	}
	return acts
}

func (m *machine) cancelOne(i, cause int, acts []action) []action {
	s := &m.slots[i]
	if s.cancel || s.state != trying && s.state != ringing {
		return acts
	}
	s.cancel = true
	return append(acts, action{kind: actCancel, branch: i, code: cause})
}

// choose picks the response to answer with (16.7 step 6).
func (m *machine) choose() action {
	if m.best < 0 {
		return action{kind: actBest, branch: -1, code: 480}
	}
	return action{kind: actBest, branch: m.best, code: m.slots[m.best].code}
}

// rank orders final codes, the best lowest: 6xx, else the lowest class, and within it what lets the caller try
// again with better success.
func (m *machine) rank(code int) int {
	switch {
	case code >= 600:
		return 0
	case m.cancelled && code == 487:
		return 1
	case code < 400:
		return 2
	case code == 401, code == 407:
		return 3
	case code == 415, code == 420, code == 484:
		return 4
	case code == 408, code == 430, code == 480, code == 487:
		return 6 // says only that nobody was there
	case code < 500:
		return 5
	case code == 503:
		return 8
	}
	return 7
}
