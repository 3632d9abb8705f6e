package txn

import "time"

// Kind tells the four machines apart.
type Kind uint8

// The machines of RFC 3261 17.1.1, 17.1.2, 17.2.1 and 17.2.2.
const (
	InviteClient Kind = iota
	NonInviteClient
	InviteServer
	NonInviteServer
)

// State is a state of any of the four machines; each machine uses those its figure names.
type State uint8

// The states of figures 5 to 8 of RFC 3261 and of RFC 6026 7.
const (
	Initial    State = iota // nothing happened yet
	Calling                 // INVITE sent, no answer
	Trying                  // non-INVITE sent or received, no answer
	Proceeding              // a provisional answer, or an INVITE received
	Completed               // final answer known, repetitions are absorbed
	Confirmed               // ACK received for a final answer that was not 2xx
	Accepted                // 2xx to INVITE, further 2xx pass (RFC 6026)
	Terminated              // over; the owner forgets the transaction
)

// Timers holds the values every timer of RFC 3261 table 4 is made of.
type Timers struct {
	T1     time.Duration // round-trip estimate, start of every retransmission interval
	T2     time.Duration // longest retransmission interval of non-INVITE requests and INVITE responses
	T4     time.Duration // longest time a message stays in the network
	Trying time.Duration // how long an INVITE may stay without answer before 100 is sent; 0 means never
}

// DefaultTimers returns the values RFC 3261 recommends.
func DefaultTimers() Timers {
	return Timers{T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 5 * time.Second, Trying: 200 * time.Millisecond}
}

// life is how long a transaction waits for the other side: timers B, D, F, H, J, L and M.
func (t *Timers) life() time.Duration { return 64 * t.T1 }

// Event says what happened to a transaction.
type Event uint8

// Inputs. A client machine takes Start, Response, Cancelled, Tick and TransportError; a server machine takes
// Start, Request, Ack, Respond, Tick and TransportError. Anything else is ignored.
const (
	Start          Event = iota // client: send the request; server: the first copy of the request arrived
	Request                     // server: another copy of the request arrived
	Ack                         // server: an ACK for this INVITE arrived
	Respond                     // server: the user answers with Code
	Response                    // client: a response with Code arrived
	Cancelled                   // client: CANCEL was sent for this INVITE
	Tick                        // time passed; harmless when early
	TransportError              // the last send failed, or the flow ended
)

// Input is one step's cause. Code is the status code for Respond and Response.
type Input struct {
	Event Event
	Code  int
}

// Send says what the owner must put on the wire.
type Send uint8

// What to send.
const (
	SendNothing  Send = iota
	SendRequest       // the request, first time or again
	SendAck           // an ACK for the final response at hand (RFC 3261 17.1.1.3)
	SendResponse      // the response at hand; keep it, it may have to be repeated
	SendAgain         // the response kept last
	SendTrying        // a 100 made by the transaction itself
)

// Deliver says what the transaction's user must hear.
type Deliver uint8

// What to deliver.
const (
	DeliverNothing        Deliver = iota
	DeliverRequest                // a new request
	DeliverResponse               // the response at hand
	DeliverAck                    // an ACK that belongs to a 2xx
	DeliverTimeout                // no answer, or no ACK, in time
	DeliverTransportError         // the peer cannot be reached
)

// Effects is what a step asks for, in the order in which it has to be done.
type Effects struct {
	Send    Send
	Deliver Deliver
	WakeAt  time.Duration // when to Step with Tick next; 0 means no timer is running
	Done    bool          // the transaction is over
}

// A Machine is one transaction. The zero value is not useful; use Client or Server.
// Times are durations since any fixed start on a clock that never runs backwards; they must be above zero.
type Machine struct {
	kind     Kind
	state    State
	reliable bool
	interval time.Duration // present interval of timer A, E or G
	resend   time.Duration // when timer A, E, G or the 100 is due; 0 is off
	expire   time.Duration // when the state ends by itself; 0 is never
}

// Client returns the client machine for an INVITE or any other method over a reliable or unreliable transport.
func Client(invite, reliable bool) Machine {
	if invite {
		return Machine{kind: InviteClient, reliable: reliable}
	}
	return Machine{kind: NonInviteClient, reliable: reliable}
}

// Server returns the server machine for an INVITE or any other method over a reliable or unreliable transport.
func Server(invite, reliable bool) Machine {
	if invite {
		return Machine{kind: InviteServer, reliable: reliable}
	}
	return Machine{kind: NonInviteServer, reliable: reliable}
}

// Kind returns which of the four machines this is.
func (m *Machine) Kind() Kind { return m.kind }

// State returns the state reached by the last step.
func (m *Machine) State() State { return m.state }

// WakeAt returns when the machine wants its next Tick, 0 for never.
func (m *Machine) WakeAt() time.Duration {
	switch {
	case m.state == Terminated:
		return 0
	case m.resend == 0:
		return m.expire
	case m.expire == 0:
		return m.resend
	}
	return min(m.resend, m.expire)
}

// Answered reports whether the final answer is known: nothing but repetitions can follow.
func (m *Machine) Answered() bool { return m.state >= Completed }

// Step feeds one input at time now and returns what has to be done about it.
func (m *Machine) Step(now time.Duration, in Input, t *Timers) Effects {
	if m.state == Terminated {
		return Effects{Done: true}
	}
	var e Effects
	switch m.kind {
	case InviteClient:
		e = m.inviteClient(now, in, t)
	case NonInviteClient:
		e = m.nonInviteClient(now, in, t)
	case InviteServer:
		e = m.inviteServer(now, in, t)
	case NonInviteServer:
		e = m.nonInviteServer(now, in, t)
	}
	e.WakeAt = m.WakeAt()
	e.Done = m.state == Terminated
	return e
}

// enter changes the state, stops the retransmission timer and lets the new state end after life; 0 means it
// does not end by itself.
func (m *Machine) enter(s State, now, life time.Duration) {
	m.state, m.resend, m.expire = s, 0, 0
	if life > 0 {
		m.expire = now + life
	}
}

// linger enters s for life on an unreliable transport and ends at once on a reliable one, where nothing can
// be repeated (timers D, I, J and K).
func (m *Machine) linger(s State, now, life time.Duration) {
	if m.reliable {
		s, life = Terminated, 0
	}
	m.enter(s, now, life)
}

// fail ends the transaction with a verdict for its user.
func (m *Machine) fail(d Deliver) Effects {
	m.enter(Terminated, 0, 0)
	return Effects{Deliver: d}
}

// startResend arms the retransmission timer with its first interval.
func (m *Machine) startResend(now time.Duration, t *Timers) {
	m.interval = t.T1
	m.resend = now + m.interval
}

// expired reports whether the state's own end has come.
func (m *Machine) expired(now time.Duration) bool { return m.expire != 0 && now >= m.expire }

// due reports whether a retransmission is due, and arms the next one: twice the interval, up to limit
// (0 is no limit).
func (m *Machine) due(now, limit time.Duration) bool {
	if m.resend == 0 || now < m.resend {
		return false
	}
	m.interval *= 2
	if limit > 0 {
		m.interval = min(m.interval, limit)
	}
	m.resend = now + m.interval
	return true
}
