-- A call is found by the end of its id, by the last digits of its phone numbers (without leading zeros) and by its e-mail
-- addresses (in lower case). The first three are reversed: an index finds what begins with a text. Programs before this leave
-- them null, and the next one fills them in.
ALTER TABLE events ADD COLUMN call_id_reversed TEXT COLLATE "C";
ALTER TABLE events ADD COLUMN from_number_reversed TEXT COLLATE "C"; -- null: not indexed yet
ALTER TABLE events ADD COLUMN to_number_reversed TEXT COLLATE "C";
ALTER TABLE events ADD COLUMN user_email TEXT COLLATE "C";
ALTER TABLE events ADD COLUMN prospect_email TEXT COLLATE "C";
-- Statistics would keep copies of numbers and addresses after their calls are erased.
ALTER TABLE events
    ALTER COLUMN from_number_reversed SET STATISTICS 0,
    ALTER COLUMN to_number_reversed SET STATISTICS 0,
    ALTER COLUMN user_email SET STATISTICS 0,
    ALTER COLUMN prospect_email SET STATISTICS 0;
CREATE INDEX events_by_call_id ON events (call_id COLLATE "C") WHERE call_id IS NOT NULL;
CREATE INDEX events_by_call_id_reversed ON events (call_id_reversed) WHERE call_id_reversed IS NOT NULL;
CREATE INDEX events_by_from_number ON events (from_number_reversed, accepted_at) WHERE from_number_reversed IS NOT NULL;
CREATE INDEX events_by_to_number ON events (to_number_reversed, accepted_at) WHERE to_number_reversed IS NOT NULL;
CREATE INDEX events_by_user_email ON events (user_email, accepted_at) WHERE user_email IS NOT NULL;
CREATE INDEX events_by_prospect_email ON events (prospect_email, accepted_at) WHERE prospect_email IS NOT NULL;
CREATE INDEX events_not_indexed ON events (accepted_at) WHERE from_number_reversed IS NULL;
