package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// BucketConfig describes a bucket. All members must ask for the same.
type BucketConfig struct {
	Name     string        // with the version of what it holds: "reg_v1"
	MaxBytes int64         // of all values; 0: 64 MiB
	MaxValue int           // of one value; 0: 64 KiB
	TTL      time.Duration // default life of a value; 0: until deleted
	File     bool          // kept on disk, flushed at each write; else in memory
}

// Bucket holds values by key, the same for every member. In a pool of three or
// more it survives the loss of one member. One in memory can be lost as a whole, and
// made anew empty, which watchers see as a Reset: its writers say again what is missing.
type Bucket struct {
	bus    *Bus
	cfg    BucketConfig
	pre    string // "$KV.<name>."
	made   atomic.Pointer[made]
	making sync.Mutex

	growing atomic.Bool
}

// made is a bucket that exists.
type made struct{ stream jetstream.Stream }

// Entry is a value with its revision, which grows with every write to the
// bucket.
type Entry struct {
	Key      Key
	Value    []byte
	Revision uint64
}

// markerLife is how long a bucket remembers that a key was deleted or expired,
// for watchers that are behind.
const markerLife = time.Minute

var bucketName = regexp.MustCompile(`^[a-z][a-z0-9_]*_v\d+$`)

// Bucket returns the handle of a bucket. The bucket itself is made when a
// quorum exists, by the first operation or by Ready.
func (b *Bus) Bucket(cfg BucketConfig) (*Bucket, error) {
	if !bucketName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("bus: bucket name %q, want a word with its version like reg_v1", cfg.Name)
	}
	if cfg.TTL%time.Second != 0 || cfg.TTL < 0 {
		return nil, fmt.Errorf("bus: bucket %s: life of %v, want whole seconds", cfg.Name, cfg.TTL)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	if cfg.MaxValue == 0 {
		cfg.MaxValue = 64 << 10
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, ok := b.buckets[cfg.Name]; ok {
		if k.cfg != cfg {
			return nil, fmt.Errorf("%w: bucket %s asked for twice, differently", ErrIncompatible, cfg.Name)
		}
		return k, nil
	}
	k := &Bucket{bus: b, cfg: cfg, pre: "$KV." + cfg.Name + "."}
	b.buckets[cfg.Name] = k
	return k, nil
}

// Get returns the value of key, or ErrNotFound. In a pool any member with a copy
// answers, which may be a moment behind the last write.
func (k *Bucket) Get(ctx context.Context, key Key) (Entry, error) {
	var e Entry
	err := k.do(ctx, key, func(ctx context.Context, stream jetstream.Stream) error {
		m, err := stream.GetLastMsgForSubject(ctx, k.pre+string(key))
		if err != nil {
			return err
		}
		e = Entry{key, m.Data, m.Sequence}
		if opOf(m.Header) != Put {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("get %s from %s: %w", key, k.cfg.Name, err)
	}
	return e, nil
}

// Put sets the value whatever it was. ttl is its life in whole seconds, 0 for
// the bucket's default; each write starts it anew.
func (k *Bucket) Put(ctx context.Context, key Key, value []byte, ttl time.Duration) (uint64, error) {
	return k.publish(ctx, "put", key, &nats.Msg{Data: value}, ttl)
}

// Create sets the value of a key that has none; ErrConflict when it has.
func (k *Bucket) Create(ctx context.Context, key Key, value []byte, ttl time.Duration) (uint64, error) {
	rev, err := k.publish(ctx, "create", key, &nats.Msg{Data: value}, ttl, jetstream.WithExpectLastSequencePerSubject(0))
	if !errors.Is(err, ErrConflict) {
		return rev, err
	}
	// The last message may be the marker of a deletion, over which a value may
	// be created.
	var marker uint64
	looked := k.do(ctx, key, func(ctx context.Context, stream jetstream.Stream) error {
		m, err := stream.GetLastMsgForSubject(ctx, k.pre+string(key))
		if err == nil && opOf(m.Header) != Put {
			marker = m.Sequence
		}
		return err
	})
	if looked != nil && !errors.Is(looked, ErrNotFound) {
		return 0, looked
	}
	if looked == nil && marker == 0 {
		return 0, err
	}
	return k.publish(ctx, "create", key, &nats.Msg{Data: value}, ttl, jetstream.WithExpectLastSequencePerSubject(marker))
}

// Update replaces the value that has this revision; ErrConflict when it
// changed or is gone.
func (k *Bucket) Update(ctx context.Context, key Key, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	return k.publish(ctx, "update", key, &nats.Msg{Data: value}, ttl, jetstream.WithExpectLastSequencePerSubject(revision))
}

// Delete removes the value that has this revision (ErrConflict when it
// changed), or whatever is there when revision is 0. Deleting what is not there
// is no error.
func (k *Bucket) Delete(ctx context.Context, key Key, revision uint64) error {
	var opts []jetstream.PublishOpt
	if revision != 0 {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(revision))
	}
	// A purge of the subject leaves only this marker, which expires too: users
	// who come and go must not fill the bucket with tombstones.
	m := &nats.Msg{Header: nats.Header{"KV-Operation": {"PURGE"}, "Nats-Rollup": {"sub"}}}
	_, err := k.publish(ctx, "delete", key, m, markerLife, opts...)
	return err
}

func (k *Bucket) publish(ctx context.Context, verb string, key Key, m *nats.Msg, ttl time.Duration, opts ...jetstream.PublishOpt) (rev uint64, err error) {
	if ttl < 0 || ttl%time.Second != 0 {
		return 0, fmt.Errorf("bus: life of %v, want whole seconds", ttl)
	}
	if len(m.Data) > k.cfg.MaxValue {
		return 0, fmt.Errorf("%s %s in %s: %d bytes: %w", verb, key, k.cfg.Name, len(m.Data), ErrTooLarge)
	}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(ttl))
	}
	m.Subject = k.pre + string(key)
	err = k.do(ctx, key, func(ctx context.Context, _ jetstream.Stream) error {
		ack, err := k.bus.js.PublishMsg(ctx, m, opts...)
		if err == nil {
			rev = ack.Sequence
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s %s in %s: %w", verb, key, k.cfg.Name, err)
	}
	return rev, nil
}

// do runs an operation on the bucket, which it makes first if need be. Without
// a leader the server says nothing, so silence for quorumPatience is
// ErrNotReady; whether a write happened is then unknown.
func (k *Bucket) do(ctx context.Context, key Key, op func(context.Context, jetstream.Stream) error) error {
	if !key.Valid() {
		return fmt.Errorf("%w: %.80q", ErrKey, string(key))
	}
	if k.bus.ctx.Err() != nil {
		return ErrClosed
	}
	limited, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	err := k.ensure(limited)
	if err == nil {
		err = translate(op(limited, k.made.Load().stream))
	}
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no leader answers", ErrNotReady)
	}
	return err
}

// ensure makes the bucket unless it exists.
func (k *Bucket) ensure(ctx context.Context) error {
	if k.made.Load() != nil {
		return nil
	}
	k.making.Lock()
	defer k.making.Unlock()
	if k.made.Load() != nil {
		return nil
	}
	stream, err := k.make(ctx)
	if err != nil {
		return translate(err)
	}
	k.made.Store(&made{stream})
	if k.bus.mode == Member && stream.CachedInfo().Config.Replicas < k.streamConfig().Replicas {
		k.grow()
	}
	return nil
}

// growPause is how long grow waits between two tries.
const growPause = 500 * time.Millisecond

// grow gives the bucket the copies that it lacks as soon as enough members are there. One that was made while the pool
// formed lives on one member only, and would be lost with it.
func (k *Bucket) grow() {
	if !k.growing.CompareAndSwap(false, true) {
		return
	}
	if !k.bus.begin() {
		return
	}
	go func() {
		defer k.bus.work.Done()
		defer k.growing.Store(false)
		for {
			select {
			case <-time.After(growPause):
			case <-k.bus.ctx.Done():
				return
			}
			ctx, cancel := context.WithTimeout(k.bus.ctx, 2*quorumPatience)
			err := k.enlarge(ctx)
			cancel()
			if err == nil {
				return
			}
			k.bus.log.Debug("bus bucket has too few copies", "bucket", k.cfg.Name, "err", err)
		}
	}()
}

// enlarge asks for as many copies as there should be.
func (k *Bucket) enlarge(ctx context.Context) error {
	want := k.streamConfig()
	stream, err := k.bus.js.Stream(ctx, want.Name)
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if have.Replicas >= want.Replicas {
		return nil
	}
	have.Replicas = want.Replicas
	_, err = k.bus.js.UpdateStream(ctx, have)
	return err
}

// leaderPatience is how long a bucket may be without a leader before it is made anew. Elections take seconds.
const leaderPatience = 20 * time.Second

// remake gives up a bucket that nobody leads and has it made anew, empty. NATS lets a copy that has not joined its group
// yet never lead it: a member that dies while the first election or the growth of a bucket is under way leaves the others
// waiting for it for good. Only buckets in memory are given up: what is in them, their writers say again. Whoever is cut
// off from the majority cannot do it.
func (k *Bucket) remake(ctx context.Context) {
	if k.cfg.File || k.bus.mode != Member {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	err := k.bus.js.DeleteStream(ctx, k.streamConfig().Name)
	k.bus.log.Warn("nobody leads a bucket of the bus; it is made anew", "bucket", k.cfg.Name, "err", err)
}

// forget makes the next operation look again whether the bucket exists; an
// external server may have lost what it kept in memory.
func (k *Bucket) forget() { k.made.Store(nil) }

func (k *Bucket) make(ctx context.Context) (jetstream.Stream, error) {
	want := k.streamConfig()
	stream, err := k.bus.js.CreateStream(ctx, want)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeNoReplicas {
		want.Replicas = 1 // an external server without a cluster
		stream, err = k.bus.js.CreateStream(ctx, want)
	}
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return stream, err
	}
	stream, err = k.bus.js.Stream(ctx, want.Name)
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	if have.Storage != want.Storage || have.MaxAge != want.MaxAge || have.MaxBytes != want.MaxBytes ||
		have.MaxMsgSize != want.MaxMsgSize || have.MaxMsgsPerSubject != 1 || !have.AllowMsgTTL {
		// Never repaired by deleting: what is in it may be wanted.
		return nil, fmt.Errorf("%w: %s", ErrIncompatible, k.cfg.Name)
	}
	return stream, nil // with fewer copies than there should be, it is used as it is until it has grown
}

// streamConfig is that of a NATS KV bucket, so that NATS's own tools can read
// it.
func (k *Bucket) streamConfig() jetstream.StreamConfig {
	replicas := 1
	if k.bus.mode == External || k.bus.mode == Member && len(k.bus.cfg.Cluster.Peers) >= 3 {
		replicas = 3
	}
	storage := jetstream.MemoryStorage
	if k.cfg.File {
		storage = jetstream.FileStorage
	}
	window := 2 * time.Minute
	if k.cfg.TTL > 0 {
		window = min(window, k.cfg.TTL)
	}
	return jetstream.StreamConfig{
		Name:                   "KV_" + k.cfg.Name,
		Subjects:               []string{k.pre + ">"},
		MaxMsgsPerSubject:      1,
		MaxBytes:               k.cfg.MaxBytes,
		MaxAge:                 k.cfg.TTL,
		MaxMsgSize:             int32(k.cfg.MaxValue + 1024), // the headers count
		MaxMsgs:                -1,
		MaxConsumers:           -1,
		Discard:                jetstream.DiscardNew,
		Storage:                storage,
		Replicas:               replicas,
		Duplicates:             window,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowDirect:            true,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: markerLife,
	}
}

// opOf reads from the headers whether a message is a value or a marker.
func opOf(h nats.Header) Op {
	switch h.Get("KV-Operation") {
	case "DEL", "PURGE":
		return Deleted
	}
	switch h.Get("Nats-Marker-Reason") {
	case "MaxAge":
		return Expired
	case "":
		return Put
	}
	return Deleted
}
