-- Whether an endpoint gets call.updated when an asset arrives after its call was sent.
ALTER TABLE endpoints ADD COLUMN late_assets BOOLEAN NOT NULL DEFAULT FALSE;
-- Assets are bits: 1 the recording, 2 the transcript. Those that the caller named after the call.
ALTER TABLE events ADD COLUMN named_late INTEGER NOT NULL DEFAULT 0;
-- The assets whose arrival a delivery reports (call.updated); 0: call.completed.
ALTER TABLE deliveries ADD COLUMN arrived INTEGER NOT NULL DEFAULT 0;
-- Those whose links were null when the call was delivered, until they are reported. Null: none.
ALTER TABLE deliveries ADD COLUMN awaits INTEGER;
-- When the store is looked at next for what it awaits.
ALTER TABLE deliveries ADD COLUMN look_at INTEGER;
CREATE INDEX deliveries_looks ON deliveries (workspace, look_at) WHERE look_at IS NOT NULL;
