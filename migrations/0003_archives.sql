-- A row stays when its archive goes: `removed_at` says since when, `removed_reason` why.
ALTER TABLE archive ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
ALTER TABLE archive ADD COLUMN removed_at INTEGER;
ALTER TABLE archive ADD COLUMN removed_reason TEXT;

-- Images that drey built and that stay on the engine for an archive, with their size in bytes.
CREATE TABLE archive_image (
    archive    TEXT    NOT NULL REFERENCES archive (id),
    tag        TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (archive, tag)
) STRICT;
CREATE INDEX archive_image_of_tag ON archive_image (tag);
