// Package keyring seals small secrets (password verifiers, shared secrets of
// trunks) so that a copy of the database alone gives none of them away.
//
// The keys are in one file of the data directory, readable by its owner only.
// The nodes of a pool share the database and therefore need the same file. A
// sealed value names its key, so a new key can be added and the old one kept
// until everything was sealed again.
package keyring
