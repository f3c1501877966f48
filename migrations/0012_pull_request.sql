-- What the newest delivery about each pull request said. `branch` has the environment: the source, or `pull:N` where that
-- is in a fork. `labels` is a list in JSON; `changed_at` is by the forge's clock, `opened_at` the same of the delivery that
-- last said it was opened.
CREATE TABLE pull_request (
    repo         TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    forge        TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    author       TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    branch       TEXT    NOT NULL,
    target       TEXT    NOT NULL,
    url          TEXT,
    state        TEXT    NOT NULL CHECK (state IN ('open', 'closed', 'merged')),
    draft        INTEGER NOT NULL CHECK (draft IN (0, 1)),
    labels       TEXT    NOT NULL,
    head         TEXT,
    fork         TEXT,
    merge_commit TEXT,
    changed_at   INTEGER,
    opened_at    INTEGER,
    PRIMARY KEY (repo, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pull_request_of_branch ON pull_request (repo, branch);
