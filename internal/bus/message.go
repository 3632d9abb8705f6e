package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Subject names what a message is about: parley.<pool>.<topic>.<verb>[.<key>].
type Subject string

// Subject builds a subject of this pool. topic and verb are constant words
// such as "directory", "changed"; key may be any text, see MakeKey.
func (b *Bus) Subject(topic, verb string, key ...string) Subject {
	s := b.prefix + string(MakeKey(topic, verb))
	if len(key) > 0 {
		s += "." + string(MakeKey(key...))
	}
	return Subject(s)
}

// Below is the pattern of all subjects with one more key part or several.
func (s Subject) Below() Subject { return s + ".>" }

// Message is what a handler receives. Data must not be kept or changed after
// the handler returned.
type Message struct {
	Subject Subject
	Key     []string // the decoded key parts of the subject
	Data    []byte
}

// Headers of questions and answers.
const (
	headerError   = "Parley-Error"
	headerTimeout = "Parley-Timeout" // milliseconds that the asker will wait
)

// defaultPatience bounds a Request whose context has no deadline.
const defaultPatience = 5 * time.Second

// handlersAtOnce bounds the running handlers of one Serve.
const handlersAtOnce = 64

// Publish sends data to whoever subscribes now; it does not wait.
func (b *Bus) Publish(s Subject, data []byte) error {
	return translate(b.conn.Publish(string(s), data))
}

// Subscribe calls fn for every message, one at a time and in the order they
// were published by one publisher. fn must not block for long: a subscriber
// that falls behind loses messages, which is logged.
func (b *Bus) Subscribe(s Subject, fn func(Message)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(string(s), func(m *nats.Msg) { fn(b.message(m)) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", s, translate(err))
	}
	return func() { sub.Unsubscribe() }, nil
}

// Request asks whoever serves s and waits for the answer, five seconds when ctx
// has no deadline. ErrNoResponder when nobody serves; a *RemoteError when the
// handler returned an error.
func (b *Bus) Request(ctx context.Context, s Subject, data []byte) ([]byte, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultPatience)
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	m := &nats.Msg{Subject: string(s), Data: data, Header: nats.Header{
		headerTimeout: {strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10)}}}
	answer, err := b.conn.RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("ask %s: %w", s, ErrNoResponder)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s, translate(err))
	}
	if text := answer.Header.Get(headerError); text != "" {
		return nil, &RemoteError{Text: text}
	}
	return answer.Data, nil
}

// Serve answers Requests for s. Several members may serve one subject; each
// question goes to one of them. Up to 64 handlers run at a time, the next
// question waits; ctx ends when the asker gives up and with stop, which waits
// for the running handlers.
func (b *Bus) Serve(s Subject, fn func(ctx context.Context, m Message) ([]byte, error)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	var running sync.WaitGroup
	slots := make(chan struct{}, handlersAtOnce)
	var mu sync.Mutex // orders the start of a handler and stop
	stopped := false
	sub, err := b.conn.QueueSubscribe(string(s), "serve", func(m *nats.Msg) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if stopped || !b.begin() {
			return
		}
		running.Add(1)
		go func() {
			defer b.work.Done()
			defer running.Done()
			defer func() { <-slots }()
			b.answer(ctx, m, fn)
		}()
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("serve %s: %w", s, translate(err))
	}
	return func() {
		sub.Unsubscribe()
		mu.Lock()
		stopped = true
		mu.Unlock()
		cancel()
		running.Wait()
	}, nil
}

func (b *Bus) answer(ctx context.Context, m *nats.Msg, fn func(context.Context, Message) ([]byte, error)) {
	if ms, err := strconv.ParseInt(m.Header.Get(headerTimeout), 10, 64); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(max(ms, 1), int64(time.Hour/time.Millisecond)))*time.Millisecond)
		defer cancel()
	}
	data, err := b.call(ctx, m, fn)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return // the asker has given up
	}
	reply := &nats.Msg{Data: data}
	if err == nil && len(data) > b.cfg.MaxPayload {
		err = ErrTooLarge
	}
	if err != nil {
		text := strings.NewReplacer("\r", " ", "\n", " ").Replace(err.Error())
		reply = &nats.Msg{Header: nats.Header{headerError: {text[:min(len(text), 1024)]}}}
	}
	if err := m.RespondMsg(reply); err != nil && b.ctx.Err() == nil {
		b.log.Warn("bus answer not sent", "subject", m.Subject, "err", err)
	}
}

// call keeps a handler's panic from ending the process: it fails that question.
func (b *Bus) call(ctx context.Context, m *nats.Msg, fn func(context.Context, Message) ([]byte, error)) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("bus handler panicked", "subject", m.Subject, "err", p)
			err = errors.New("internal error")
		}
	}()
	return fn(ctx, b.message(m))
}

// message decodes the key parts after topic and verb. A subject that this
// package did not make has none.
func (b *Bus) message(m *nats.Msg) Message {
	msg := Message{Subject: Subject(m.Subject), Data: m.Data}
	if rest, ours := strings.CutPrefix(m.Subject, b.prefix); ours {
		if parts, err := Key(rest).Parts(); err == nil && len(parts) > 2 {
			msg.Key = parts[2:]
		}
	}
	return msg
}
