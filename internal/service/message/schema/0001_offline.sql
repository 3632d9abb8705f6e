-- Messages accepted for users who were not signed in. A row goes when an
-- endpoint has taken the message, or when it expires.
CREATE TABLE message_offline (
    id        BIGINT PRIMARY KEY,       -- grows with the time of acceptance
    recipient TEXT NOT NULL,            -- id of the user, which is never used again
    sender    TEXT NOT NULL,            -- address of record, or the name of a server
    origin    TEXT NOT NULL,            -- Call-ID, CSeq and From tag: the same when it is sent again
    head      BYTEA NOT NULL,           -- header fields for delivery
    body      BYTEA NOT NULL,
    stored    BIGINT NOT NULL,          -- microseconds
    expires   BIGINT NOT NULL,          -- microseconds
    refused   BIGINT NOT NULL           -- how often all endpoints refused it
);
CREATE UNIQUE INDEX message_offline_origin ON message_offline (recipient, origin);
CREATE INDEX message_offline_recipient ON message_offline (recipient, id);
CREATE INDEX message_offline_sender ON message_offline (recipient, sender);
CREATE INDEX message_offline_expires ON message_offline (expires);
