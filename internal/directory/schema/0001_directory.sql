CREATE TABLE directory_domain (
	name TEXT PRIMARY KEY
);

CREATE TABLE directory_user (
	id      TEXT    PRIMARY KEY,
	name    TEXT    NOT NULL,
	enabled BOOLEAN NOT NULL,
	policy  TEXT    NOT NULL,
	version BIGINT  NOT NULL,
	created BIGINT  NOT NULL,
	changed BIGINT  NOT NULL
);

-- The address of record has position 0, aliases follow. One table makes every
-- address unique, whichever way it is used.
CREATE TABLE directory_address (
	address  TEXT   PRIMARY KEY,
	domain   TEXT   NOT NULL REFERENCES directory_domain (name),
	user_id  TEXT   NOT NULL REFERENCES directory_user (id) ON DELETE CASCADE,
	position BIGINT NOT NULL
);
CREATE INDEX directory_address_user ON directory_address (user_id);

CREATE TABLE directory_number (
	number   TEXT   PRIMARY KEY,
	user_id  TEXT   NOT NULL REFERENCES directory_user (id) ON DELETE CASCADE,
	position BIGINT NOT NULL
);
CREATE INDEX directory_number_user ON directory_number (user_id);

-- All verifiers of a user in one sealed value; see verifiers.go for its form.
CREATE TABLE directory_credential (
	user_id TEXT  PRIMARY KEY REFERENCES directory_user (id) ON DELETE CASCADE,
	sealed  BYTEA NOT NULL
);
