-- What the forges are told: one row for each thing there, as it should be and as it was last sent.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    repo        TEXT NOT NULL,
    branch      TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('status', 'deployment', 'comment')),
    -- The commit, or the number of the pull request.
    subject     TEXT NOT NULL,
    -- Part of a comment's marker that nobody can guess.
    nonce       TEXT NOT NULL DEFAULT (lower(hex(randomblob(8)))),
    -- JSON.
    wanted      TEXT NOT NULL,
    changed_at  INTEGER NOT NULL,
    -- JSON, as the forge took it; equal to what is wanted: nothing to do.
    sent        TEXT,
    remote_id   TEXT,
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER NOT NULL,
    last_error  TEXT,
    UNIQUE (repo, branch, kind, subject)
) STRICT;

CREATE INDEX outbox_waiting ON outbox (next_try_at) WHERE sent IS NOT wanted;
