-- What a business card says of a user, as JSON of what is not empty, and which
-- photo there is: its hash, empty without one, and its size in bytes.
ALTER TABLE directory_user ADD COLUMN profile TEXT NOT NULL DEFAULT '{}';
ALTER TABLE directory_user ADD COLUMN photo_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE directory_user ADD COLUMN photo_size BIGINT NOT NULL DEFAULT 0;

-- Photos stand apart because nobody holds them in memory.
CREATE TABLE directory_photo (
	user_id TEXT PRIMARY KEY REFERENCES directory_user (id) ON DELETE CASCADE,
	type    TEXT NOT NULL, -- image/jpeg or image/png
	image   BYTEA NOT NULL
);
