-- Portal links of the settings page open once: the ids of those that were used, until they expire.
CREATE TABLE used_portal_links (
    id              TEXT PRIMARY KEY,
    expires_at      INTEGER NOT NULL       -- seconds since 1970
);
CREATE INDEX used_portal_links_by_age ON used_portal_links (expires_at);
-- Whose secrets are to be wiped, once removing them can no longer be undone.
CREATE INDEX endpoints_removed ON endpoints (removed_at) WHERE removed_at IS NOT NULL;
-- What is under way is searched for among everything that was ever sent.
CREATE INDEX deliveries_under_way ON deliveries (workspace, created_at, id) WHERE state IN ('waiting', 'queued', 'sending');
