-- Always empty, but for a moment when room is taken that stays in the file when the row is gone.
CREATE TABLE reserve (
    bytes BLOB NOT NULL
) STRICT;
