-- Secrets of repositories, encrypted with the key beside the database (secrets.key).
CREATE TABLE secret (
    repo       TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- A glob over branch names; all secrets of a repository with the same one are a set.
    branches   TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repo, name, branches)
) STRICT, WITHOUT ROWID;
