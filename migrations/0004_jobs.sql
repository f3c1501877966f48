-- Jobs that have succeeded. `key` is the digest of service, command and place; `generation` the newest wish to run
-- under which it did. Stays after the end, so that a restored environment knows what was done.
CREATE TABLE job_done (
    environment INTEGER NOT NULL REFERENCES environment (id),
    key         TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    done_at     INTEGER NOT NULL,
    PRIMARY KEY (environment, key)
) STRICT;
