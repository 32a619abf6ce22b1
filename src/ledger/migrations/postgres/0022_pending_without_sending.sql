-- Pending deliveries are counted without those that are being sent: these are few, and who reads the counts adds them (their index
-- is deliveries_leased). So nothing is counted for a call that is sent as soon as it is accepted, and delivered: it took two rows
-- here, which had to be folded.
LOCK TABLE deliveries IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO delivery_counts (endpoint_id, pending, failed)
    SELECT endpoint_id, -count(*), 0 FROM deliveries WHERE state = 'sending' AND NOT test GROUP BY endpoint_id;

-- Each function looks first whether there is anything to count: that costs a third of counting.
CREATE OR REPLACE FUNCTION count_added_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM added WHERE state NOT IN ('sending', 'delivered')) THEN
        INSERT INTO delivery_counts (endpoint_id, pending, failed)
            SELECT endpoint_id, sum((state <> 'failed')::int), sum((state = 'failed')::int) FROM added
            WHERE state NOT IN ('sending', 'delivered') AND NOT test GROUP BY endpoint_id;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION count_changed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM before WHERE state NOT IN ('sending', 'delivered'))
        OR EXISTS (SELECT FROM changed WHERE state NOT IN ('sending', 'delivered')) THEN
        INSERT INTO delivery_counts (endpoint_id, pending, failed)
            SELECT endpoint_id, sum(pending), sum(failed) FROM (
                SELECT endpoint_id, (state IN ('waiting', 'queued'))::int AS pending, (state = 'failed')::int AS failed
                    FROM changed WHERE NOT test
                UNION ALL
                SELECT endpoint_id, -(state IN ('waiting', 'queued'))::int, -(state = 'failed')::int
                    FROM before WHERE NOT test) AS both_sides
            GROUP BY endpoint_id HAVING sum(pending) <> 0 OR sum(failed) <> 0;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION count_removed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO delivery_counts (endpoint_id, pending, failed)
        SELECT r.endpoint_id, -sum((r.state <> 'failed')::int), -sum((r.state = 'failed')::int)
        FROM removed r JOIN endpoints e ON e.id = r.endpoint_id
        WHERE r.state NOT IN ('sending', 'delivered') AND NOT r.test GROUP BY r.endpoint_id;
    RETURN NULL;
END $$;
