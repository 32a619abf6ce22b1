-- What the settings page says of each endpoint, kept as it happens: counting deliveries would take longer the more there are.

-- Deliveries of calls that are pending, and those that failed. (Test events do not count.)
CREATE TABLE delivery_counts (
    endpoint_id     TEXT PRIMARY KEY REFERENCES endpoints (id) ON DELETE CASCADE,
    pending         INTEGER NOT NULL,
    failed          INTEGER NOT NULL
);
INSERT INTO delivery_counts (endpoint_id, pending, failed)
    SELECT endpoint_id, sum(state <> 'failed'), sum(state = 'failed') FROM deliveries
    WHERE state <> 'delivered' AND NOT test GROUP BY endpoint_id;

CREATE TRIGGER count_added_delivery AFTER INSERT ON deliveries WHEN NEW.state <> 'delivered' AND NOT NEW.test BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        VALUES (NEW.endpoint_id, NEW.state <> 'failed', NEW.state = 'failed')
        ON CONFLICT (endpoint_id) DO UPDATE SET pending = pending + excluded.pending, failed = failed + excluded.failed;
END;
CREATE TRIGGER count_changed_delivery AFTER UPDATE OF state ON deliveries
    WHEN NOT NEW.test AND ((NEW.state = 'failed') <> (OLD.state = 'failed') OR (NEW.state = 'delivered') <> (OLD.state = 'delivered'))
BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        VALUES (NEW.endpoint_id, (NEW.state NOT IN ('delivered', 'failed')) - (OLD.state NOT IN ('delivered', 'failed')),
                (NEW.state = 'failed') - (OLD.state = 'failed'))
        ON CONFLICT (endpoint_id) DO UPDATE SET pending = pending + excluded.pending, failed = failed + excluded.failed;
END;
CREATE TRIGGER count_removed_delivery AFTER DELETE ON deliveries WHEN OLD.state <> 'delivered' AND NOT OLD.test BEGIN
    UPDATE delivery_counts SET pending = pending - (OLD.state <> 'failed'), failed = failed - (OLD.state = 'failed')
        WHERE endpoint_id = OLD.endpoint_id;
END;

-- Attempts of each endpoint, hour (hours since 1970) and answering time: below 25, 50, 100, 200 … 6,400 ms, or a day for what
-- took longer; 0 is no answer. Test events are included.
CREATE TABLE endpoint_hours (
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    hour            INTEGER NOT NULL,
    below_ms        INTEGER NOT NULL,
    succeeded       INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    last_success_at INTEGER NOT NULL, -- 0: none
    PRIMARY KEY (endpoint_id, hour, below_ms)
);
CREATE INDEX endpoint_hours_by_age ON endpoint_hours (hour);
CREATE VIEW attempt_figures AS
    SELECT a.delivery_id, a.number, d.endpoint_id, a.started_at / 3600000 AS hour,
        CASE WHEN a.status IS NULL THEN 0 WHEN a.took_ms < 25 THEN 25 WHEN a.took_ms < 50 THEN 50 WHEN a.took_ms < 100 THEN 100
            WHEN a.took_ms < 200 THEN 200 WHEN a.took_ms < 400 THEN 400 WHEN a.took_ms < 800 THEN 800
            WHEN a.took_ms < 1600 THEN 1600 WHEN a.took_ms < 3200 THEN 3200 WHEN a.took_ms < 6400 THEN 6400
            ELSE 86400000 END AS below_ms,
        CASE WHEN a.status BETWEEN 200 AND 299 THEN 1 ELSE 0 END AS succeeded,
        CASE WHEN a.status BETWEEN 200 AND 299 THEN 0 ELSE 1 END AS failed,
        CASE WHEN a.status BETWEEN 200 AND 299 THEN a.started_at + a.took_ms ELSE 0 END AS last_success_at
    FROM attempts a JOIN deliveries d ON d.id = a.delivery_id;
INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at)
    SELECT endpoint_id, hour, below_ms, sum(succeeded), sum(failed), max(last_success_at) FROM attempt_figures
    GROUP BY endpoint_id, hour, below_ms;
CREATE TRIGGER count_attempt AFTER INSERT ON attempts BEGIN
    INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at)
        SELECT endpoint_id, hour, below_ms, succeeded, failed, last_success_at FROM attempt_figures
        WHERE delivery_id = NEW.delivery_id AND number = NEW.number
        ON CONFLICT (endpoint_id, hour, below_ms) DO UPDATE SET
            succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed,
            last_success_at = max(last_success_at, excluded.last_success_at);
END;
