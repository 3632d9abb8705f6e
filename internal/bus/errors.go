package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conditions a caller may act on. Compare with errors.Is.
var (
	// ErrNotReady: no quorum yet or no longer, or the connection is being
	// made. Answer the peer with 503 and Retry-After.
	ErrNotReady = errors.New("bus not ready")
	// ErrNotFound: the key has no value, never had one, or it expired.
	ErrNotFound = errors.New("no such key")
	// ErrConflict: the key exists already, or changed since it was read.
	ErrConflict = errors.New("key changed by somebody else")
	// ErrNoResponder: nobody serves the subject of a question.
	ErrNoResponder = errors.New("nobody answers")
	// ErrTooLarge: the value is over the limit of the bus or of the bucket.
	ErrTooLarge = errors.New("value too large for the bus")
	// ErrKey: not a key made by MakeKey.
	ErrKey = errors.New("malformed key")
	// ErrIncompatible: a bucket of this name exists with other properties. It
	// is left as it is.
	ErrIncompatible = errors.New("bucket exists with other properties")
	// ErrClosed: the bus was closed.
	ErrClosed = errors.New("bus closed")
)

// RemoteError is an error that the other side of Request returned.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return e.Text }

// JetStream error codes (server/errors.json of nats-server).
const (
	codeWrongLastSequence  = 10071
	codeWrongLastSeqFor    = 10164
	codeNoMessage          = 10037
	codeStreamNotFound     = 10059
	codeStreamNameInUse    = 10058
	codeMessageTooLarge    = 10054
	codeNoSuitablePeers    = 10005
	codeClusterNotAvail    = 10008
	codeStreamOffline      = 10118
	codeInsufficientStore  = 10047
	codeMaximumMessageSize = 10122
	codeNoReplicas         = 10074 // replicas > 1 not supported in non-clustered mode
)

// translate gives err its condition. An end of the caller's context stays what
// it is, except that JetStream without a leader shows itself as silence: see
// Bucket.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch int(api.ErrorCode) {
		case codeWrongLastSequence, codeWrongLastSeqFor:
			return fmt.Errorf("%w: %w", ErrConflict, err)
		case codeMessageTooLarge, codeMaximumMessageSize:
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		case codeStreamNotFound, codeNoSuitablePeers, codeClusterNotAvail, codeStreamOffline, codeInsufficientStore:
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		case codeNoMessage:
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		case codeStreamNameInUse:
			return fmt.Errorf("%w: %w", ErrIncompatible, err)
		}
		if api.Code == 503 {
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		return err
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse),
		errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
