-- One row that counts the changes. Every change takes its number from here, in
-- the same transaction, so that a node can ask for all that is newer than what
-- it has; the row also makes changes wait for each other.
CREATE TABLE directory_revision (
	id    BIGINT PRIMARY KEY CHECK (id = 1),
	value BIGINT NOT NULL
);
INSERT INTO directory_revision (id, value) VALUES (1, 0);

CREATE TABLE directory_domain (
	name    TEXT PRIMARY KEY, -- canonical lower case
	created BIGINT NOT NULL
);

CREATE TABLE directory_user (
	id           TEXT PRIMARY KEY,
	aor          TEXT NOT NULL UNIQUE, -- canonical, see uc.AOR
	domain       TEXT NOT NULL REFERENCES directory_domain (name),
	name         TEXT NOT NULL,
	enabled      BOOLEAN NOT NULL,
	policy       TEXT NOT NULL, -- JSON of what differs from the defaults
	verifiers    BYTEA,         -- sealed; NULL without a password
	password_set BIGINT NOT NULL, -- revision of the last password
	version      BIGINT NOT NULL,
	revision     BIGINT NOT NULL,
	created      BIGINT NOT NULL,
	changed      BIGINT NOT NULL
);
CREATE INDEX directory_user_revision ON directory_user (revision);
CREATE INDEX directory_user_domain ON directory_user (domain);

-- Addresses of record and aliases share one table because no two users may
-- have the same. Position 0 is the address of record.
CREATE TABLE directory_address (
	address  TEXT PRIMARY KEY,
	user_id  TEXT NOT NULL REFERENCES directory_user (id) ON DELETE CASCADE,
	position BIGINT NOT NULL
);
CREATE INDEX directory_address_user ON directory_address (user_id);

CREATE TABLE directory_phone (
	number   TEXT PRIMARY KEY, -- canonical, "+15550100;ext=42"
	user_id  TEXT NOT NULL REFERENCES directory_user (id) ON DELETE CASCADE,
	position BIGINT NOT NULL
);
CREATE INDEX directory_phone_user ON directory_phone (user_id);

-- Who was removed, so that the other nodes learn of it.
CREATE TABLE directory_removed (
	user_id  TEXT PRIMARY KEY,
	revision BIGINT NOT NULL,
	removed  BIGINT NOT NULL
);
CREATE INDEX directory_removed_revision ON directory_removed (revision);
