package flow

import (
	"context"
	"net/http"
)

func (ln *Listener) listenWebSocket(ctx context.Context) error { return ErrNoTransport }

// WebSocketHandler returns a handler that makes a flow of every WebSocket opened with subprotocol "sip" (RFC 7118),
// for an HTTP front of somebody else.
func (l *Layer) WebSocketHandler() http.Handler { return http.NotFoundHandler() }
