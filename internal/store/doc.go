// Package store keeps what people made: users, contact lists, messages that
// wait, meetings. It is SQL with one text for two engines, an embedded SQLite
// file for a single machine and PostgreSQL for a pool.
//
// Statements are written once, with $1, $2 as placeholders. The portable
// subset is BIGINT, TEXT, BOOLEAN, BYTEA and DOUBLE PRECISION columns, foreign
// keys, partial indexes, ON CONFLICT, RETURNING, common table expressions,
// window functions and row-value comparison. Kept out because the engines
// differ: LIKE, JSON operators, COLLATE, sequences, now(), array types.
// Times are microseconds since 1970 in a BIGINT (see Micros), keys are made
// by the program, and a name that must match without case has a column with
// its canonical form.
//
// # Durability
//
// A transaction that returned nil has reached the disk: it survives the death
// of the process and loss of power alike, on both engines. SQLite is opened
// with synchronous=FULL for that; "sqlite:PATH?synchronous=normal" gives up
// the last instants before a power cut (not before a crash of the process)
// for fewer flushes. Many small writes share one flush through DB.Write.
//
// # Errors
//
// Whatever a method returns matches, by errors.Is, one of the sentinels of
// this package when the caller can do something about it; the engine's own
// error stays reachable by errors.As.
package store
