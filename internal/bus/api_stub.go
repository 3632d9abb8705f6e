package bus

import (
	"context"
	"errors"
	"time"
)

var errStub = errors.New("bus: being written")

// Open starts the embedded server or connects to the external one. It does not
// wait for other members; see Ready.
func Open(ctx context.Context, cfg Config) (*Bus, error) { return nil, errStub }

// Ready returns nil when buckets can be written: the connection is up, a
// quorum exists and every bucket asked for is there. Otherwise an error that
// matches ErrNotReady and says what is missing. It is cheap enough to poll.
func (b *Bus) Ready(ctx context.Context) error { return errStub }

// Leave hands over what this member leads and stops taking new work. Close
// follows it.
func (b *Bus) Leave(ctx context.Context) error { return errStub }

// Close ends subscriptions, watches and leases and stops the server.
func (b *Bus) Close() error { return errStub }

// Subject names what a message is about: parley.<pool>.<topic>.<verb>[.<key>].
type Subject string

// Subject builds a subject of this pool. topic and verb are constant words.
func (b *Bus) Subject(topic, verb string, key ...string) Subject { return "" }

// Below is the pattern of all subjects with one key part or more after s.
func (s Subject) Below() Subject { return s + ".>" }

// Message is what a subscriber receives. Data must not be kept or changed after the handler returned.
type Message struct {
	Subject Subject
	Key     []string // the decoded key parts of the subject
	Data    []byte
}

// Publish sends data to whoever subscribes now; it does not wait.
func (b *Bus) Publish(s Subject, data []byte) error { return errStub }

// Subscribe calls fn for every message, one at a time and in the order they
// were published by one publisher. fn must not block for long: a subscriber
// that falls behind loses messages, which is logged.
func (b *Bus) Subscribe(s Subject, fn func(Message)) (stop func(), err error) { return nil, errStub }

// Request asks whoever serves s. ErrNoResponder when nobody does; a
// *RemoteError when the handler returned one.
func (b *Bus) Request(ctx context.Context, s Subject, data []byte) ([]byte, error) {
	return nil, errStub
}

// Serve answers Requests for s. Several members may serve one subject; each
// question goes to one of them. Up to 64 handlers run at a time; ctx ends with
// the asker's deadline and with stop, which waits for running handlers.
func (b *Bus) Serve(s Subject, fn func(ctx context.Context, m Message) ([]byte, error)) (stop func(), err error) {
	return nil, errStub
}

// BucketConfig describes a bucket. All members must ask for the same.
type BucketConfig struct {
	Name     string        // with the version of what it holds: "reg_v1"
	MaxBytes int64         // of all values; 0: 64 MiB
	MaxValue int           // of one value; 0: 64 KiB
	TTL      time.Duration // default life of a value; 0: until deleted
	File     bool          // kept on disk, flushed at each write; else in memory
}

// Bucket holds values by key, the same for every member. In a pool of three or
// more it survives the loss of one member.
type Bucket struct{}

// Bucket returns the handle of a bucket. The bucket itself is made when a
// quorum exists, by the first operation or by Ready.
func (b *Bus) Bucket(cfg BucketConfig) (*Bucket, error) { return nil, errStub }

// Entry is a value with its revision, which grows with every write to the bucket.
type Entry struct {
	Key      Key
	Value    []byte
	Revision uint64
}

// Get returns the value of key, or ErrNotFound.
func (k *Bucket) Get(ctx context.Context, key Key) (Entry, error) { return Entry{}, errStub }

// Put sets the value whatever it was. ttl is its life in whole seconds, 0 for
// the bucket's default; each write starts it anew.
func (k *Bucket) Put(ctx context.Context, key Key, value []byte, ttl time.Duration) (uint64, error) {
	return 0, errStub
}

// Create sets the value of a key that has none; ErrConflict when it has.
func (k *Bucket) Create(ctx context.Context, key Key, value []byte, ttl time.Duration) (uint64, error) {
	return 0, errStub
}

// Update replaces the value that has this revision; ErrConflict when it changed.
func (k *Bucket) Update(ctx context.Context, key Key, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	return 0, errStub
}

// Delete removes the value that has this revision, or whatever is there when
// revision is 0. Deleting what is not there is no error.
func (k *Bucket) Delete(ctx context.Context, key Key, revision uint64) error { return errStub }

// Op is what happened to a key.
type Op uint8

// What a watcher is told.
const (
	Reset   Op = iota // forget everything: a snapshot follows; always the first
	Put               // the key has this value
	Deleted           // somebody deleted the key
	Expired           // the life of the key ended
	Synced            // the snapshot is complete; changes follow
)

// Change is one step of a watch. Key, Value and Revision are set for Put,
// Deleted and Expired.
type Change struct {
	Op Op
	Entry
}

// Watch calls fn with every value below prefix ("" for all), then with every
// change, in order, until ctx ends; it returns ctx's error or ErrClosed. It
// waits for a quorum by itself. When the watch broke and begins again, Reset
// comes again.
func (k *Bucket) Watch(ctx context.Context, prefix Key, fn func(Change)) error { return errStub }

// Lead runs fn while this node holds the lease called name; at most one node
// of the pool does. It competes until ctx ends and then returns ctx's error;
// when fn returns an error Lead returns that. The context given to fn ends
// before another node can hold the lease. term grows with every change of
// holder and fences what the holder writes elsewhere.
func (b *Bus) Lead(ctx context.Context, name string, ttl time.Duration, fn func(ctx context.Context, term uint64) error) error {
	return errStub
}
