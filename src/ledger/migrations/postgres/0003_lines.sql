-- Each endpoint has a line for first attempts (lane 0), one for retries (1) and one for test events (2).
CREATE INDEX deliveries_in_line ON deliveries (endpoint_id, lane, due_at) WHERE state = 'queued';
DROP INDEX deliveries_queued;
-- What waits for its time gets in line when that has come.
CREATE INDEX deliveries_waiting ON deliveries (due_at) WHERE state = 'waiting';
DROP INDEX deliveries_due;
UPDATE deliveries SET lane = 2 WHERE test AND state IN ('waiting', 'queued', 'sending');
-- How many test events a workspace sent lately.
CREATE INDEX deliveries_tests ON deliveries (workspace, created_at) WHERE test;
-- 0: no limit chosen. 16 was what an endpoint got whose owner chose none.
UPDATE endpoints SET concurrency = 0 WHERE concurrency = 16;
