package txn

import "time"

// inviteClient is figure 5 of RFC 3261 17.1.1 as changed by RFC 6026 8.4.
func (m *Machine) inviteClient(now time.Duration, in Input, t *Timers) Effects {
	switch m.state {
	case Initial:
		if in.Event != Start {
			return Effects{}
		}
		m.enter(Calling, now, t.life()) // timer B
		if !m.reliable {
			m.startResend(now, t) // timer A
		}
		return Effects{Send: SendRequest}

	case Calling, Proceeding:
		switch in.Event {
		case Response:
			return m.inviteResponse(now, in.Code, t)
		case Cancelled:
			// RFC 3261 9.1: a cancelled INVITE that stays without final response for 64*T1 is over.
			m.expire = now + t.life()
		case TransportError:
			return m.fail(DeliverTransportError)
		case Tick:
			if m.expired(now) {
				return m.fail(DeliverTimeout)
			}
			if m.due(now, 0) {
				return Effects{Send: SendRequest}
			}
		}

	case Completed:
		switch in.Event {
		case Response:
			if in.Code >= 300 {
				return Effects{Send: SendAck}
			}
		case TransportError:
			// The user already has the final response; only the ACK is lost with the peer.
			m.enter(Terminated, 0, 0)
		case Tick:
			if m.expired(now) { // timer D
				m.enter(Terminated, 0, 0)
			}
		}

	case Accepted:
		switch in.Event {
		case Response:
			if in.Code/100 == 2 {
				return Effects{Deliver: DeliverResponse}
			}
		case Tick:
			if m.expired(now) { // timer M
				m.enter(Terminated, 0, 0)
			}
		}
	}
	return Effects{}
}

// inviteResponse handles a response in Calling or Proceeding.
func (m *Machine) inviteResponse(now time.Duration, code int, t *Timers) Effects {
	switch {
	case code < 200:
		if m.state == Calling {
			m.enter(Proceeding, now, 0)
		}
		return Effects{Deliver: DeliverResponse}
	case code < 300:
		m.enter(Accepted, now, t.life())
		return Effects{Deliver: DeliverResponse}
	default:
		m.linger(Completed, now, t.life())
		return Effects{Send: SendAck, Deliver: DeliverResponse}
	}
}

// nonInviteClient is figure 6 of RFC 3261 17.1.2.
func (m *Machine) nonInviteClient(now time.Duration, in Input, t *Timers) Effects {
	switch m.state {
	case Initial:
		if in.Event != Start {
			return Effects{}
		}
		m.enter(Trying, now, t.life()) // timer F
		if !m.reliable {
			m.startResend(now, t) // timer E
		}
		return Effects{Send: SendRequest}

	case Trying, Proceeding:
		switch in.Event {
		case Response:
			if in.Code >= 200 {
				m.linger(Completed, now, t.T4) // timer K
				return Effects{Deliver: DeliverResponse}
			}
			m.state = Proceeding
			if m.resend != 0 {
				m.interval = t.T2
			}
			return Effects{Deliver: DeliverResponse}
		case TransportError:
			return m.fail(DeliverTransportError)
		case Tick:
			if m.expired(now) {
				return m.fail(DeliverTimeout)
			}
			if m.due(now, t.T2) {
				return Effects{Send: SendRequest}
			}
		}

	case Completed:
		if in.Event == Tick && m.expired(now) {
			m.enter(Terminated, 0, 0)
		}
	}
	return Effects{}
}
