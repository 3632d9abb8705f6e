// Package replicator is the User Replicator: it keeps the users of a directory that speaks LDAP, Active Directory
// or Samba, as users here. That directory is the source of truth for who there is, who may sign in, names and numbers;
// nothing is ever written to it.
//
// One member of the pool does it, whoever holds the lease. It reads everybody when it begins, when it meets another
// domain controller, and now and then; in between it asks for what changed since (uSNChanged, [MS-ADTS] 3.1.1.1.9).
// Who is disabled, deleted, or no longer selected there is disabled here, which ends his sign-ins; nobody is removed.
// A controller that cannot be reached, or an answer that breaks off, changes nothing.
//
//	settings.go  section of the node file
//	ldap.go      finding a controller, TLS, binding, pages
//	person.go    from an entry to a user; pure
//	round.go     one round: read, compare, change
//	service.go   lease, timer, status
//	password.go  passwords of these users, asked of a controller
package replicator
