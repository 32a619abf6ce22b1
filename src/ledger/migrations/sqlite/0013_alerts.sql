-- What the operator is alerted to. Nothing is written here without alerts.url.
CREATE TABLE alerts (
    id              TEXT PRIMARY KEY,   -- webhook-id
    kind            TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    workspace       TEXT NOT NULL,
    description     TEXT NOT NULL,      -- the endpoint's, and the host of its URL, when its cause was first seen
    host            TEXT NOT NULL,
    since           INTEGER,
    code            TEXT,
    reason          TEXT,
    count           INTEGER NOT NULL,     -- of deliveries; it grows until the first attempt
    state           TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    at              INTEGER NOT NULL,     -- when its cause was last seen
    due_at          INTEGER NOT NULL,
    tries           INTEGER NOT NULL,
    lease           TEXT,               -- who sends it, and until when
    lease_until     INTEGER,
    last_summary    TEXT,
    ended_at        INTEGER
);
CREATE INDEX alerts_by_time ON alerts (at, id);
CREATE INDEX alerts_pending ON alerts (due_at) WHERE state = 'pending';
CREATE INDEX alerts_of_endpoint ON alerts (endpoint_id, kind, ended_at);
-- An endpoint has one alert of a kind that still counts.
CREATE UNIQUE INDEX alerts_that_count ON alerts (endpoint_id, kind) WHERE state = 'pending' AND tries = 0 AND lease IS NULL;
-- The kind of the last alert about the endpoint's state; null: none since it last worked.
ALTER TABLE endpoints ADD COLUMN alerted TEXT;
CREATE INDEX endpoints_in_trouble ON endpoints (id)
    WHERE removed_at IS NULL AND (failing_since IS NOT NULL OR state = 'disabled' OR alerted IS NOT NULL);
-- One row: the expired links that have been counted, in seconds. No row: there have been no alerts yet.
CREATE TABLE alert_progress (
    number          INTEGER PRIMARY KEY,
    links_until     INTEGER NOT NULL
);
