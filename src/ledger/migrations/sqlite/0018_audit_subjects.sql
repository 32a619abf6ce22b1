-- The page of an endpoint shows who changed it, however much else was done in its workspace.
CREATE INDEX audit_trail_of_subject ON audit_trail (workspace, subject, id);
