-- The calls of a workspace are found by their time without reading those of others.
CREATE INDEX events_by_time ON events (accepted_at, id, workspace);
DROP INDEX events_by_age;
