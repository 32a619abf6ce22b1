-- Whose clock a pause was measured by: when that is set, its pauses move with it.
ALTER TABLE deliveries ADD COLUMN scheduled_by TEXT;
