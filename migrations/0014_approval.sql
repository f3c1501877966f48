-- Commits of forks that somebody let run: this commit of this pull request, nothing else.
CREATE TABLE approval (
    repo        TEXT NOT NULL,
    branch      TEXT NOT NULL,
    commit_id   TEXT NOT NULL,
    -- Name of the token, or `socket`.
    approved_by TEXT NOT NULL,
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (repo, branch, commit_id)
) STRICT, WITHOUT ROWID;

-- Where a branch stood when its newest push was passed over; gone as soon as something of it is deployed.
CREATE TABLE passed_over (
    repo      TEXT NOT NULL,
    branch    TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    passed_at INTEGER NOT NULL,
    PRIMARY KEY (repo, branch)
) STRICT, WITHOUT ROWID;
