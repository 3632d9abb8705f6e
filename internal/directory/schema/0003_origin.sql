-- Users who are kept in another directory: which one, what it calls them for
-- ever, and, as JSON, the names by which they prove there who they are.
ALTER TABLE directory_user ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE directory_user ADD COLUMN source_id TEXT NOT NULL DEFAULT '';
ALTER TABLE directory_user ADD COLUMN logins TEXT NOT NULL DEFAULT '[]';
CREATE UNIQUE INDEX directory_user_source ON directory_user (source, source_id) WHERE source <> '';
