-- Delivered events by whether one of their links was followed (1) or none (0).
CREATE INDEX deliveries_pick_up ON deliveries
    (workspace, (CASE WHEN recording_fetched_at IS NULL AND transcript_fetched_at IS NULL THEN 0 ELSE 1 END), created_at, id)
    WHERE state = 'delivered' AND links_expire_at IS NOT NULL;
