-- What the settings page says of each endpoint, kept as it happens: counting deliveries would take longer the more there are.
-- Each statement adds rows, which a later one folds: senders that update one row would wait for each other.

-- Deliveries of calls that are pending, and those that failed. (Test events do not count.)
CREATE TABLE delivery_counts (
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    pending         BIGINT NOT NULL,
    failed          BIGINT NOT NULL
);
CREATE INDEX delivery_counts_of_endpoint ON delivery_counts (endpoint_id);
INSERT INTO delivery_counts (endpoint_id, pending, failed)
    SELECT endpoint_id, sum((state <> 'failed')::int), sum((state = 'failed')::int) FROM deliveries
    WHERE state <> 'delivered' AND NOT test GROUP BY endpoint_id;

CREATE FUNCTION count_added_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        SELECT endpoint_id, sum((state <> 'failed')::int), sum((state = 'failed')::int) FROM added
        WHERE state <> 'delivered' AND NOT test GROUP BY endpoint_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_added_deliveries AFTER INSERT ON deliveries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_deliveries();
CREATE FUNCTION count_changed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        SELECT endpoint_id, sum(pending), sum(failed) FROM (
            SELECT endpoint_id, (state NOT IN ('delivered', 'failed'))::int AS pending, (state = 'failed')::int AS failed
                FROM changed WHERE NOT test
            UNION ALL
            SELECT endpoint_id, -(state NOT IN ('delivered', 'failed'))::int, -(state = 'failed')::int
                FROM before WHERE NOT test) AS both_sides
        GROUP BY endpoint_id HAVING sum(pending) <> 0 OR sum(failed) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER count_changed_deliveries AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed_deliveries();
-- The endpoint may have been removed in the same statement.
CREATE FUNCTION count_removed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        SELECT r.endpoint_id, -sum((r.state <> 'failed')::int), -sum((r.state = 'failed')::int)
        FROM removed r JOIN endpoints e ON e.id = r.endpoint_id
        WHERE r.state <> 'delivered' AND NOT r.test GROUP BY r.endpoint_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_removed_deliveries AFTER DELETE ON deliveries REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_deliveries();

-- Attempts of each endpoint, hour (hours since 1970) and answering time: below 25, 50, 100, 200 … 6,400 ms, or a day for what
-- took longer; 0 is no answer. Test events are included.
CREATE TABLE endpoint_hours (
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    hour            BIGINT NOT NULL,
    below_ms        BIGINT NOT NULL,
    succeeded       BIGINT NOT NULL,
    failed          BIGINT NOT NULL,
    last_success_at BIGINT NOT NULL -- 0: none
);
CREATE INDEX endpoint_hours_of_endpoint ON endpoint_hours (endpoint_id, hour);
CREATE INDEX endpoint_hours_by_age ON endpoint_hours (hour);
CREATE FUNCTION answering_time(status BIGINT, took_ms BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN status IS NULL THEN 0 WHEN took_ms < 25 THEN 25 WHEN took_ms < 50 THEN 50 WHEN took_ms < 100 THEN 100
        WHEN took_ms < 200 THEN 200 WHEN took_ms < 400 THEN 400 WHEN took_ms < 800 THEN 800 WHEN took_ms < 1600 THEN 1600
        WHEN took_ms < 3200 THEN 3200 WHEN took_ms < 6400 THEN 6400 ELSE 86400000 END $$;
INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at)
    SELECT d.endpoint_id, a.started_at / 3600000, answering_time(a.status, a.took_ms),
        count(*) FILTER (WHERE a.status BETWEEN 200 AND 299), count(*) FILTER (WHERE a.status BETWEEN 200 AND 299 IS NOT TRUE),
        coalesce(max(a.started_at + a.took_ms) FILTER (WHERE a.status BETWEEN 200 AND 299), 0)
    FROM attempts a JOIN deliveries d ON d.id = a.delivery_id GROUP BY 1, 2, 3;
CREATE FUNCTION count_attempts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at)
        SELECT d.endpoint_id, a.started_at / 3600000, answering_time(a.status, a.took_ms),
            count(*) FILTER (WHERE a.status BETWEEN 200 AND 299), count(*) FILTER (WHERE a.status BETWEEN 200 AND 299 IS NOT TRUE),
            coalesce(max(a.started_at + a.took_ms) FILTER (WHERE a.status BETWEEN 200 AND 299), 0)
        FROM added a JOIN deliveries d ON d.id = a.delivery_id GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;
CREATE TRIGGER count_attempts AFTER INSERT ON attempts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_attempts();
