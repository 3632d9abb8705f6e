-- Distribution lists.
CREATE TABLE directory_group (
	id          TEXT PRIMARY KEY,
	address     TEXT NOT NULL UNIQUE, -- canonical; nobody else's, see notGroup
	name        TEXT NOT NULL,
	description TEXT NOT NULL,
	version     BIGINT NOT NULL,
	revision    BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	changed     BIGINT NOT NULL
);
CREATE INDEX directory_group_revision ON directory_group (revision);

-- A member is a user or a group. One that goes leaves silently: what is found
-- by its ID no longer is not counted.
CREATE TABLE directory_member (
	group_id  TEXT NOT NULL REFERENCES directory_group (id) ON DELETE CASCADE,
	position  BIGINT NOT NULL,
	user_id   TEXT REFERENCES directory_user (id) ON DELETE CASCADE,
	member_id TEXT REFERENCES directory_group (id) ON DELETE CASCADE,
	PRIMARY KEY (group_id, position)
);
CREATE INDEX directory_member_user ON directory_member (user_id);
CREATE INDEX directory_member_group ON directory_member (member_id);
