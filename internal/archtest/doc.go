// Package archtest holds the rules about which package may import which, as a test. The packages form rows:
// one may import its own row and those below. The rules beside that keep sockets, clocks and other people's
// libraries where they belong. A broken rule fails with its sentence; so does a rule that names a package
// which no longer exists, and an exception that nobody needs any more.
package archtest
