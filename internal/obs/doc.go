// Package obs is how a running server can be watched: the attribute names of
// the log, the metrics registry, health and readiness, and the SIP trace. It
// listens on nothing by itself and holds no global state.
package obs
