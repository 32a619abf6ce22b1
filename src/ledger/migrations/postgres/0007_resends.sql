-- How often a person has sent it again.
ALTER TABLE deliveries ADD COLUMN resends BIGINT NOT NULL DEFAULT 0;
-- The resend that an attempt belongs to; 0 for those that the sender made by itself.
ALTER TABLE attempts ADD COLUMN resend BIGINT NOT NULL DEFAULT 0;
