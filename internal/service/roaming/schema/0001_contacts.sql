-- Contact lists. A user who never changed his has no rows, and the list that
-- everybody begins with.
CREATE TABLE roaming_list (
    owner TEXT PRIMARY KEY,             -- id of the user, which is never used again
    delta BIGINT NOT NULL               -- grows by one with every change
);
CREATE TABLE roaming_group (
    owner        TEXT NOT NULL,
    id           BIGINT NOT NULL,       -- 2 to 63; group 1 is not stored
    name         TEXT NOT NULL,
    external_uri TEXT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE TABLE roaming_contact (
    owner        TEXT NOT NULL,
    uri          TEXT NOT NULL,         -- without scheme, in lower case
    name         TEXT NOT NULL,         -- "" for the one in the directory
    groups       TEXT NOT NULL,         -- numbers, separated by blanks
    subscribed   BOOLEAN NOT NULL,
    external_uri TEXT NOT NULL,
    extension    TEXT NOT NULL,
    PRIMARY KEY (owner, uri)
);
