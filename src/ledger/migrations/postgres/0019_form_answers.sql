-- A form that was sent is used, too: where its answer led, so that the same form sent again leads there and does nothing.
-- NULL while its request is at work.
ALTER TABLE used_portal_links ADD COLUMN answer TEXT;
