package txn

import "time"

// inviteServer is figure 7 of RFC 3261 17.2.1 as changed by RFC 6026 8.7.
func (m *Machine) inviteServer(now time.Duration, in Input, t *Timers) Effects {
	switch m.state {
	case Initial:
		if in.Event != Start {
			return Effects{}
		}
		m.enter(Proceeding, now, 0)
		if t.Trying > 0 {
			m.resend = now + t.Trying
		}
		return Effects{Deliver: DeliverRequest}

	case Proceeding:
		switch in.Event {
		case Request:
			return Effects{Send: SendAgain}
		case Respond:
			return m.inviteRespond(now, in.Code, t)
		case Tick:
			if m.resend != 0 && now >= m.resend {
				m.resend = 0
				return Effects{Send: SendTrying}
			}
		case TransportError:
			return m.fail(DeliverTransportError)
		}

	case Completed:
		switch in.Event {
		case Request:
			return Effects{Send: SendAgain}
		case Ack:
			m.linger(Confirmed, now, t.T4) // timer I
		case Tick:
			if m.expired(now) { // timer H
				return m.fail(DeliverTimeout)
			}
			if m.due(now, t.T2) {
				return Effects{Send: SendAgain}
			}
		case TransportError:
			return m.fail(DeliverTransportError)
		}

	case Confirmed:
		if in.Event == Tick && m.expired(now) {
			m.enter(Terminated, 0, 0)
		}

	case Accepted:
		// Repeated INVITEs are absorbed without an answer: the user repeats its 2xx itself (RFC 3261 13.3.1.4).
		switch in.Event {
		case Respond:
			if in.Code/100 == 2 {
				return Effects{Send: SendResponse}
			}
		case Ack:
			return Effects{Deliver: DeliverAck}
		case Tick:
			if m.expired(now) { // timer L
				m.enter(Terminated, 0, 0)
			}
		case TransportError:
			// RFC 6026 7.1: the user hears of it, the state stays to absorb what is still on the way.
			return Effects{Deliver: DeliverTransportError}
		}
	}
	return Effects{}
}

// inviteRespond handles an answer of the user in Proceeding.
func (m *Machine) inviteRespond(now time.Duration, code int, t *Timers) Effects {
	switch {
	case code < 200:
		m.resend = 0 // whatever was said first, a 100 is no longer needed
	case code < 300:
		m.enter(Accepted, now, t.life())
	default:
		m.enter(Completed, now, t.life())
		if !m.reliable {
			m.startResend(now, t) // timer G
		}
	}
	return Effects{Send: SendResponse}
}

// nonInviteServer is figure 8 of RFC 3261 17.2.2.
func (m *Machine) nonInviteServer(now time.Duration, in Input, t *Timers) Effects {
	switch m.state {
	case Initial:
		if in.Event != Start {
			return Effects{}
		}
		m.enter(Trying, now, 0)
		return Effects{Deliver: DeliverRequest}

	case Trying, Proceeding:
		switch in.Event {
		case Request:
			if m.state == Proceeding {
				return Effects{Send: SendAgain}
			}
		case Respond:
			if in.Code < 200 {
				m.state = Proceeding
			} else {
				m.linger(Completed, now, t.life()) // timer J
			}
			return Effects{Send: SendResponse}
		case TransportError:
			return m.fail(DeliverTransportError)
		}

	case Completed:
		switch in.Event {
		case Request:
			return Effects{Send: SendAgain}
		case Tick:
			if m.expired(now) {
				m.enter(Terminated, 0, 0)
			}
		case TransportError:
			return m.fail(DeliverTransportError)
		}
	}
	return Effects{}
}
