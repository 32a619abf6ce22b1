-- What people and tokens did: who, what, when, before and after, as JSON without secrets. Rows are added, and never changed until
-- their retention ends or their workspace is erased. Ids sort by time.
CREATE TABLE audit_trail (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    workspace TEXT,
    actor TEXT NOT NULL,
    name TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    before TEXT,
    after TEXT
);
CREATE INDEX audit_trail_of_workspace ON audit_trail (workspace, id);
CREATE INDEX audit_trail_by_time ON audit_trail (at);
