// Package lane runs work in order by key: two pieces of work with the same key run one after the other in the
// order in which they were given, different keys run at the same time.
//
// A lane exists only while it has work. An idle key costs nothing, and a busy one costs one goroutine, so work
// may wait for a store or for the bus: only that key waits. Queues are bounded; what does not fit is refused
// at once, for the caller to answer with 503.
package lane
