// Package topology is the one description of a deployment: sites, pools, servers and their roles, the
// machines around them, the servers that are trusted, where requests for other domains go, and what the
// network between them looks like. Everything that must agree about it reads it here: which services a node
// runs, whom it believes, which certificates it needs, and every printer of the port plan.
//
// A Topology is the document as an administrator writes it. A Snapshot is an immutable, indexed topology
// with a revision; questions are asked of snapshots. A Store keeps the current one and its history in the
// data directory of a node, so that a node starts, and goes on, without anybody else.
package topology
