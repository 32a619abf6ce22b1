-- The custom header fields of an endpoint, as JSON that is sealed like its secret, for this endpoint and its URL alone; and
-- their names, as a JSON list. Null: none.
ALTER TABLE endpoints ADD COLUMN headers BYTEA;
ALTER TABLE endpoints ADD COLUMN header_names TEXT;
