-- What a user may do as an administrator: empty for everybody else.
ALTER TABLE directory_user ADD COLUMN role TEXT NOT NULL DEFAULT '';
