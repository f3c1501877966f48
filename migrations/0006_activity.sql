-- When somebody last wanted the environment: a push, a deployment asked for, a waking. Visits are counted apart.
ALTER TABLE environment ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;
UPDATE environment SET active_at = updated_at;
