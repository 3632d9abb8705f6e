// Package adminapi is the administration interface of a running node: HTTP
// with JSON over a unix socket in the data directory. Who may open the socket
// (mode 0600) may administer the node; the file permission is the root of
// trust.
//
// People with an administrative role reach the same resources by the web site
// (Server.Web); who may do what is decided in roles.go.
//
// Everything is a resource below /api/v1. Objects that several people may
// change carry an ETag, writes take If-Match, and every change is written to
// the audit table with the operating system user who made it. The command
// line is a client of this API (Client) and has no other door.
package adminapi
