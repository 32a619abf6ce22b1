-- When something last happened to a delivery: it was accepted, an attempt ended, it was sent again, or it was given up. The
-- settings page lists deliveries by it. (The index holds the endpoint, so that its deliveries are found among all.)
ALTER TABLE deliveries ADD COLUMN active_at BIGINT NOT NULL DEFAULT 0;
-- No state changes, so the triggers would count nothing.
ALTER TABLE deliveries DISABLE TRIGGER USER;
UPDATE deliveries SET active_at = greatest(created_at, ended_at,
    (SELECT max(started_at + took_ms) FROM attempts WHERE delivery_id = deliveries.id));
ALTER TABLE deliveries ENABLE TRIGGER USER;
CREATE INDEX deliveries_by_activity ON deliveries (workspace, active_at, id, endpoint_id);
CREATE INDEX deliveries_failed_by_activity ON deliveries (workspace, active_at, id) WHERE state = 'failed';

-- The header fields of the request and of the answer, each on a line of text: the name, a colon and the value, or the name alone
-- if the value is a secret.
ALTER TABLE attempts ADD COLUMN request_fields TEXT;
ALTER TABLE attempts ADD COLUMN answer_fields TEXT;
-- How long the phases took; null for one that was not needed or did not end. All but the last are null if the connection was
-- open before.
ALTER TABLE attempts ADD COLUMN lookup_ms BIGINT;
ALTER TABLE attempts ADD COLUMN connect_ms BIGINT;
ALTER TABLE attempts ADD COLUMN tls_ms BIGINT;
ALTER TABLE attempts ADD COLUMN first_byte_ms BIGINT;
