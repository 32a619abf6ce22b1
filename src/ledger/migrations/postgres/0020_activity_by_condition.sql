-- The settings page lists deliveries by their last activity also where they are pending, or where links were followed or not: a
-- webhook that is paused may have a hundred thousand. (The indexes hold the endpoint, so that its deliveries are found among all.)
-- They replace those by the time of acceptance: another index would cost the sender more for each delivery.
DROP INDEX deliveries_under_way;
CREATE INDEX deliveries_under_way ON deliveries (workspace, active_at, id, endpoint_id) WHERE state IN ('waiting', 'queued', 'sending');
DROP INDEX deliveries_pick_up;
CREATE INDEX deliveries_pick_up ON deliveries
    (workspace, (CASE WHEN recording_fetched_at IS NULL AND transcript_fetched_at IS NULL THEN 0 ELSE 1 END), active_at, id, endpoint_id)
    WHERE state = 'delivered' AND links_expire_at IS NOT NULL;
DROP INDEX deliveries_failed_by_activity;
CREATE INDEX deliveries_failed_by_activity ON deliveries (workspace, active_at, id, endpoint_id) WHERE state = 'failed';
