CREATE TABLE admin_audit (
	id     BIGINT PRIMARY KEY,
	at     BIGINT NOT NULL,
	who    TEXT   NOT NULL,
	action TEXT   NOT NULL,
	object TEXT   NOT NULL,
	detail TEXT   NOT NULL
);
CREATE INDEX admin_audit_object ON admin_audit (object, id);
