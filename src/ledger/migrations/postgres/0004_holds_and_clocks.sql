-- A hold says since when and why; what a person does about it wins over what senders remember.
ALTER TABLE endpoints ADD COLUMN held_since BIGINT;          -- since when new deliveries wait
ALTER TABLE endpoints ADD COLUMN health_epoch BIGINT NOT NULL DEFAULT 0; -- goes up when health begins anew
ALTER TABLE endpoints ADD COLUMN failure_code TEXT;         -- what came of the last attempt that failed
ALTER TABLE endpoints ADD COLUMN failure TEXT;
-- Pauses are measured from here: a clock that was set back is noticed by it. Null: due as soon as it came.
ALTER TABLE deliveries ADD COLUMN scheduled_at BIGINT;
-- How long it has waited for its assets, in milliseconds.
ALTER TABLE deliveries ADD COLUMN asset_waited BIGINT NOT NULL DEFAULT 0;
