-- How an environment stood before it was told to run something else, as JSON: where the remote turns out to have
-- nothing new, it stands so again. Gone as soon as there is something new.
CREATE TABLE former_state (
    environment INTEGER PRIMARY KEY NOT NULL REFERENCES environment (id),
    state       TEXT    NOT NULL
) STRICT;
