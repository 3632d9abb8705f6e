// Package transport proves media transports with real clients: Chromium, baresip and libnice.
package transport
