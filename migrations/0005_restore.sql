-- Of the whole file, in lower-case hexadecimal digits: a restore compares it before it makes anything.
ALTER TABLE archive ADD COLUMN sha256 TEXT;

-- The archive that an environment was made from; whether its volumes were filled from it; and whether it follows its
-- branch, which it does from the next push on.
ALTER TABLE environment ADD COLUMN restored_from TEXT;
ALTER TABLE environment ADD COLUMN restored_filled INTEGER NOT NULL DEFAULT 0 CHECK (restored_filled IN (0, 1));
ALTER TABLE environment ADD COLUMN restored_follows INTEGER NOT NULL DEFAULT 0 CHECK (restored_follows IN (0, 1));
