-- Wishes and history. Times are milliseconds since the Unix epoch, booleans 0 or 1; rows of history are never deleted.

-- Which daemon owns this data directory: drawn once, part of every name on the engine.
CREATE TABLE instance (
    id   INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    name TEXT    NOT NULL
) STRICT;

-- One request of a hook or forge, kept as received.
CREATE TABLE delivery (
    id          INTEGER PRIMARY KEY NOT NULL,
    repo        TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    delivery_id TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (repo, delivery_id)
) STRICT;

-- The facts that deliveries, timers and commands became. `detail` is the whole kind as JSON; `kind` and `branch`
-- repeat parts of it for filters.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    delivery    INTEGER REFERENCES delivery (id),
    place       INTEGER NOT NULL,
    source      TEXT    NOT NULL,
    repo        TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    branch      TEXT,
    detail      TEXT    NOT NULL,
    delivery_id TEXT,
    skip        INTEGER NOT NULL CHECK (skip IN (0, 1)),
    received_at INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT,
    UNIQUE (delivery, place)
) STRICT;
CREATE INDEX event_pending ON event (id) WHERE state = 'pending';
CREATE INDEX event_of_branch ON event (repo, branch, id);

-- One row for each life of a branch. `intent` is JSON.
CREATE TABLE environment (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    repo               TEXT    NOT NULL,
    branch             TEXT    NOT NULL,
    slug               TEXT    NOT NULL,
    project            TEXT    NOT NULL,
    intent             TEXT    NOT NULL,
    generation         INTEGER NOT NULL,
    settled_generation INTEGER NOT NULL,
    phase              TEXT    NOT NULL,
    reason             TEXT,
    serving            INTEGER NOT NULL CHECK (serving IN (0, 1)),
    commit_id          TEXT,
    running_commit     TEXT,
    had_own_commit     INTEGER NOT NULL CHECK (had_own_commit IN (0, 1)),
    ending_outcome     TEXT,
    ending_due_at      INTEGER,
    pinned             INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    last_visited_at    INTEGER,
    version            INTEGER NOT NULL,
    CHECK ((ending_outcome IS NULL) = (ending_due_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX environment_live ON environment (repo, branch) WHERE phase NOT IN ('archived', 'destroyed');
CREATE INDEX environment_of_branch ON environment (repo, branch, id);
CREATE INDEX environment_of_slug ON environment (slug);

-- Who owns a slug. Stays after the end, so that the branch comes back to its address.
CREATE TABLE slug (
    slug     TEXT    PRIMARY KEY NOT NULL,
    repo     TEXT    NOT NULL,
    full_ref TEXT    NOT NULL,
    freed_at INTEGER,
    UNIQUE (repo, full_ref)
) STRICT;

-- The hostnames of an environment. `spec` is JSON; `place` 0 is the primary.
CREATE TABLE route (
    environment INTEGER NOT NULL REFERENCES environment (id),
    place       INTEGER NOT NULL,
    host        TEXT    NOT NULL UNIQUE,
    spec        TEXT    NOT NULL,
    PRIMARY KEY (environment, place)
) STRICT;

-- The stack that was applied last, as JSON.
CREATE TABLE applied_stack (
    environment INTEGER PRIMARY KEY NOT NULL REFERENCES environment (id),
    generation  INTEGER NOT NULL,
    stack       TEXT    NOT NULL
) STRICT;

-- The subnet of a network of a live environment, in CIDR form.
CREATE TABLE subnet (
    environment INTEGER NOT NULL REFERENCES environment (id),
    key         TEXT    NOT NULL,
    cidr        TEXT    NOT NULL UNIQUE,
    PRIMARY KEY (environment, key)
) STRICT;

-- One run of a plan.
CREATE TABLE deployment (
    id          INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    environment INTEGER NOT NULL REFERENCES environment (id),
    generation  INTEGER NOT NULL,
    commit_id   TEXT,
    state       TEXT    NOT NULL,
    plan        TEXT    NOT NULL,
    reason      TEXT,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX deployment_of_environment ON deployment (environment, id);
CREATE INDEX deployment_running ON deployment (id) WHERE state = 'running';

-- Images that drey built and an environment uses.
CREATE TABLE image_use (
    environment INTEGER NOT NULL REFERENCES environment (id),
    tag         TEXT    NOT NULL,
    PRIMARY KEY (environment, tag)
) STRICT;
CREATE INDEX image_use_of_tag ON image_use (tag);

-- What is kept of an environment; the file lies in the data directory.
CREATE TABLE archive (
    id          TEXT    PRIMARY KEY NOT NULL,
    environment INTEGER NOT NULL REFERENCES environment (id),
    repo        TEXT    NOT NULL,
    branch      TEXT    NOT NULL,
    slug        TEXT    NOT NULL,
    commit_id   TEXT,
    outcome     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    size_bytes  INTEGER NOT NULL,
    verified_at INTEGER
) STRICT;
CREATE INDEX archive_of_repo ON archive (repo, id);
