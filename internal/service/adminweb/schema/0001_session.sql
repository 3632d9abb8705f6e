-- Administrators who are signed in. The store keeps them, so that any member of the pool may answer.
CREATE TABLE adminweb_session (
	token    TEXT PRIMARY KEY, -- SHA-256 of the cookie: who reads the table cannot use it
	user_id  TEXT   NOT NULL,
	password BIGINT NOT NULL,  -- which password it was begun with
	source   TEXT   NOT NULL,  -- address it was begun from
	begun    BIGINT NOT NULL,
	used     BIGINT NOT NULL   -- last time somebody did something
);
CREATE INDEX adminweb_session_user ON adminweb_session (user_id);
