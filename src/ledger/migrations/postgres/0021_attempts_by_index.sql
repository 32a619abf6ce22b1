-- Finds the delivery of each attempt by its index. A session keeps the plan that it made while the table was small, and that
-- plan read all deliveries for each attempt, however many there were later. (`= ANY` is a join that PostgreSQL can only do by
-- index.)
CREATE OR REPLACE FUNCTION count_attempts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO endpoint_hours (endpoint_id, hour, below_ms, succeeded, failed, last_success_at)
        SELECT d.endpoint_id, a.started_at / 3600000, answering_time(a.status, a.took_ms),
            count(*) FILTER (WHERE a.status BETWEEN 200 AND 299), count(*) FILTER (WHERE a.status BETWEEN 200 AND 299 IS NOT TRUE),
            coalesce(max(a.started_at + a.took_ms) FILTER (WHERE a.status BETWEEN 200 AND 299), 0)
        FROM added a JOIN deliveries d ON d.id = ANY (ARRAY[a.delivery_id]) GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;
