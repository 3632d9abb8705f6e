package turn

// Stats is what a server has counted. Sums over the shards of a relay are those of the relay.
type Stats struct {
	Allocations uint64 // there are now
	Allocated   uint64
	Expired     uint64

	ToPeers, ToClients           uint64 // packets relayed
	ToPeersBytes, ToClientsBytes uint64

	// Refused requests, by why.
	Unauthorized uint64 // no credentials: the usual first step
	Stale        uint64 // nonce is old
	BadUser      uint64 // not a user name of ours
	BadPassword  uint64 // integrity does not fit
	ExpiredUser  uint64 // credentials are expired
	Stolen       uint64 // credentials of another than the allocation's owner
	Quota        uint64
	NoPort       uint64
	Forbidden    uint64 // peers that the policy does not allow
	BadRequest   uint64 // anything else that got an error

	// Dropped packets, by why.
	Malformed    uint64 // neither dialect
	NoAllocation uint64 // data without an allocation
	NoPermission uint64 // to or from a peer without permission
	OverRate     uint64 // beyond the bandwidth of allocation or user
	Replayed     uint64 // [MS-TURN] sequence number seen before
	Unanswered   uint64 // strangers beyond AnonymousRate
}

// Add adds another server's counts.
func (s *Stats) Add(o Stats) {
	for _, p := range []struct {
		to   *uint64
		from uint64
	}{
		{&s.Allocations, o.Allocations}, {&s.Allocated, o.Allocated}, {&s.Expired, o.Expired},
		{&s.ToPeers, o.ToPeers}, {&s.ToClients, o.ToClients}, {&s.ToPeersBytes, o.ToPeersBytes}, {&s.ToClientsBytes, o.ToClientsBytes},
		{&s.Unauthorized, o.Unauthorized}, {&s.Stale, o.Stale}, {&s.BadUser, o.BadUser}, {&s.BadPassword, o.BadPassword},
		{&s.ExpiredUser, o.ExpiredUser}, {&s.Stolen, o.Stolen}, {&s.Quota, o.Quota}, {&s.NoPort, o.NoPort}, {&s.Forbidden, o.Forbidden},
		{&s.BadRequest, o.BadRequest}, {&s.Malformed, o.Malformed}, {&s.NoAllocation, o.NoAllocation}, {&s.NoPermission, o.NoPermission},
		{&s.OverRate, o.OverRate}, {&s.Replayed, o.Replayed}, {&s.Unanswered, o.Unanswered},
	} {
		*p.to += p.from
	}
}
