-- What is waiting for users in mailboxes that others keep.
CREATE TABLE mwi_mailbox (
    user_id TEXT PRIMARY KEY,   -- id of the user, which is never used again
    counts  TEXT NOT NULL,      -- JSON: class to numbers
    changed BIGINT NOT NULL     -- microseconds
);
