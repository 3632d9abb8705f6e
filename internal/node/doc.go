// Package node puts a node together: it reads the node file, the topology and
// the certificates, opens store, bus and directory, joins flow, stack, gate,
// route and proxy, and runs the services whose roles this node has. It is the
// only package that sees all of them.
//
// Start acquires in a fixed order and undoes it when a step fails; Drain
// refuses new work and lets the old finish; Stop releases in reverse. Reload
// reads the files again and applies what changed as a whole, or refuses it as
// a whole and leaves everything as it was.
package node
