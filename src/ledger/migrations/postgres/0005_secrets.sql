-- However often a secret is rotated, each one that was valid stays so until its time. Those before previous_secret, the newest
-- first, as JSON: [{"secret": hexadecimal, "until": milliseconds}, ...]
ALTER TABLE endpoints ADD COLUMN earlier_secrets TEXT;
-- Which of the valid secrets makes X-Webhook-Signature: 0 is the newest. (plain_previous is for programs before this.)
ALTER TABLE endpoints ADD COLUMN plain_secret BIGINT NOT NULL DEFAULT 0;
UPDATE endpoints SET plain_secret = 1 WHERE plain_previous;
