-- Publications of categories that outlast the endpoint they came from. Those
-- that end with an endpoint or the user's sign-out live in memory.
CREATE TABLE presence_publication (
    owner     TEXT NOT NULL,            -- id of the user, which is never used again
    category  TEXT NOT NULL,
    container BIGINT NOT NULL,
    instance  BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    published BIGINT NOT NULL,          -- microseconds
    expires   BIGINT NOT NULL,          -- microseconds, 0 for never
    body      BYTEA NOT NULL,
    PRIMARY KEY (owner, category, container, instance)
);
-- Containers whose members a user has changed; others have the members that
-- everybody's have.
CREATE TABLE presence_container (
    owner   TEXT NOT NULL,
    id      BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE TABLE presence_member (
    owner     TEXT NOT NULL,
    container BIGINT NOT NULL,
    type      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (owner, container, type, value)
);
-- Who has put a user on his contact list, and whether the user has heard of it.
CREATE TABLE presence_subscriber (
    owner        TEXT NOT NULL,
    watcher      TEXT NOT NULL,         -- address of record
    name         TEXT NOT NULL,
    acknowledged BOOLEAN NOT NULL,
    PRIMARY KEY (owner, watcher)
);
