CREATE TABLE node_secret (
	name   TEXT  PRIMARY KEY,
	sealed BYTEA NOT NULL
);
