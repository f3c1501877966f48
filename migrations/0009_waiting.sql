-- The environment for whose running deployment a push waits (`superseded = "queue"`); NULL when it waits no more.
ALTER TABLE event ADD COLUMN waits_for INTEGER REFERENCES environment (id);
CREATE INDEX event_waiting ON event (waits_for) WHERE waits_for IS NOT NULL;
