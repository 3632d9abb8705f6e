-- The certificate of each device by which its user signs in. A new one
-- replaces the old one, which is then good no more.
CREATE TABLE certprov_certificate (
    user_id   TEXT NOT NULL,       -- of the directory, never used again
    device    TEXT NOT NULL,       -- "urn:uuid:..."
    serial    TEXT NOT NULL,       -- hexadecimal
    issued    BIGINT NOT NULL,     -- microseconds
    not_after BIGINT NOT NULL,     -- microseconds
    PRIMARY KEY (user_id, device)
);
CREATE INDEX certprov_certificate_issued ON certprov_certificate (issued);
