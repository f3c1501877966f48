-- The generation of the newest wish to run. An end that was taken back and comes again is another end: its archive
-- is another archive.
ALTER TABLE environment ADD COLUMN run_generation INTEGER NOT NULL DEFAULT 1;

-- 0 from the moment containers are touched until all of the stack was seen ready: nothing is known of what runs.
ALTER TABLE applied_stack ADD COLUMN whole INTEGER NOT NULL DEFAULT 1 CHECK (whole IN (0, 1));
