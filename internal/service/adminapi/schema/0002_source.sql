-- Where a change came from: an address, or empty for the socket of the node.
ALTER TABLE admin_audit ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE INDEX admin_audit_who ON admin_audit (who, id);
