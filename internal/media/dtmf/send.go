package dtmf

// What a Sender keeps to.
const (
	maxQueue = 64     // digits that wait
	maxUnits = 0xFFFF // longest event without segments: eight seconds at 8000
	ends     = 3      // how often the last packet is sent (RFC 4733 2.5.1.4)
	volume   = 10     // -dBm0 that the receiver is to play
)

// Packet is an event packet to be sent, with the payload type and sequence number of the stream.
type Packet struct {
	Marker    bool   // the first of an event
	Timestamp uint32 // when the event began: the same for all its packets
	Payload   Payload
}

// Sender turns digits into event packets, one a frame. While it sends, the audio of the same source is not sent
// (RFC 4733 2.5.1.2). It allocates nothing after its queue has grown, and is not safe for concurrent use.
type Sender struct {
	frame, gap int // units
	queue      []press
	active     bool
	now        press
	began      uint32
	duration   int
	ended      int // end packets sent
	pause      int // units until the next digit may begin
}

type press struct {
	event Event
	units int
}

// NewSender returns a sender for a clock in units a second that is asked for a packet every frame units, and that
// leaves gap units between digits.
func NewSender(frame, gap int) *Sender { return &Sender{frame: max(frame, 1), gap: gap} }

// Press queues an event that lasts so many units, and reports false when too many wait or it is longer than the
// format has room for. RFC 4733 and Q.24 want at least 40 ms; 100 ms are usual.
func (s *Sender) Press(e Event, units int) bool {
	if len(s.queue) >= maxQueue || units <= 0 || units > maxUnits-s.frame {
		return false
	}
	s.queue = append(s.queue, press{e, units})
	return true
}

// Busy reports whether something is being sent or waits.
func (s *Sender) Busy() bool { return s.active || len(s.queue) > 0 }

// Next returns the packet of the frame that begins at timestamp, if there is one.
func (s *Sender) Next(timestamp uint32) (p Packet, ok bool) {
	if !s.active {
		if s.pause -= s.frame; s.pause > 0 || len(s.queue) == 0 {
			s.pause = max(s.pause, 0)
			return Packet{}, false
		}
		s.now = s.queue[0]
		s.queue = s.queue[:copy(s.queue, s.queue[1:])]
		s.active, s.began, s.duration, s.ended = true, timestamp, 0, 0
	}
	first := s.duration == 0
	if s.ended == 0 {
		s.duration += s.frame
	}
	end := s.duration >= s.now.units
	p = Packet{
		Marker:    first,
		Timestamp: s.began,
		Payload:   Payload{Event: s.now.event, End: end, Volume: volume, Duration: uint16(s.duration)},
	}
	if end {
		if s.ended++; s.ended == ends {
			s.active, s.pause = false, s.gap
		}
	}
	return p, true
}
