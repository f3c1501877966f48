-- Who may use the API over TCP. The token itself is shown once and stored nowhere: only its SHA-256 is.
CREATE TABLE token (
    name       TEXT PRIMARY KEY NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('qa', 'developer', 'admin')),
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    -- NULL: until it is revoked.
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
