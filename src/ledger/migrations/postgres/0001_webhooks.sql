-- The ledger of the webhook sender: endpoints, events, deliveries, attempts.
-- Times are milliseconds since 1970. Secrets are sealed (XChaCha20-Poly1305); everything else is as it was handed in.

CREATE TABLE endpoints (
    id              TEXT PRIMARY KEY,
    workspace       TEXT NOT NULL,
    url             TEXT NOT NULL,
    description     TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
    reason          TEXT,               -- why it is not active
    secret          BYTEA NOT NULL,
    previous_secret BYTEA,            -- valid beside the other until previous_until
    previous_until  BIGINT,
    plain_previous  BOOLEAN NOT NULL,   -- which of the two makes X-Webhook-Signature
    long_tail       BOOLEAN NOT NULL,   -- retries go on for a day
    concurrency     BIGINT NOT NULL,     -- attempts at once, in each process
    per_second      BIGINT,              -- attempts a second, in each process
    failures        BIGINT NOT NULL,     -- failed attempts since the last good one
    failing_since   BIGINT,
    held_until      BIGINT,              -- the breaker: nothing is sent before
    created_at      BIGINT NOT NULL,
    removed_at      BIGINT
);
CREATE INDEX endpoints_of_workspace ON endpoints (workspace, created_at);

CREATE TABLE events (
    id              TEXT PRIMARY KEY,   -- webhook-id
    workspace       TEXT NOT NULL,
    call_id         TEXT,               -- the caller's own; null for test events
    test            BOOLEAN NOT NULL,
    content         TEXT NOT NULL,      -- JSON, without the links
    recording       TEXT,               -- the asset's uuid; null where there is none
    transcript      TEXT,
    accepted_at     BIGINT NOT NULL,
    UNIQUE (workspace, call_id)
);
CREATE INDEX events_by_age ON events (accepted_at);
CREATE INDEX events_of_recording ON events (recording) WHERE recording IS NOT NULL;
CREATE INDEX events_of_transcript ON events (transcript) WHERE transcript IS NOT NULL;

CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    event_id        TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    workspace       TEXT NOT NULL,
    position        BIGINT NOT NULL,     -- among the deliveries of its event
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'queued', 'sending', 'delivered', 'failed')),
    test            BOOLEAN NOT NULL,
    lane            BIGINT NOT NULL,     -- 0: first attempts, 1: retries
    due_at          BIGINT NOT NULL,
    lease           TEXT,               -- who sends it, and until when nobody else may
    lease_until     BIGINT,
    tries           BIGINT NOT NULL,     -- attempts since it was accepted or resent
    attempts        BIGINT NOT NULL,     -- attempts ever
    note            TEXT,               -- what an operator should know: why it waits, why a link is null
    last_status     BIGINT,
    last_summary    TEXT,
    links_expire_at BIGINT,              -- seconds, as in the links of the last attempt
    recording_fetched_at  BIGINT,
    transcript_fetched_at BIGINT,
    created_at      BIGINT NOT NULL,
    ended_at        BIGINT
);
CREATE INDEX deliveries_due ON deliveries (lane, due_at) WHERE state = 'waiting';
CREATE INDEX deliveries_queued ON deliveries (endpoint_id, due_at) WHERE state = 'queued';
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_of_workspace ON deliveries (workspace, created_at, id);
CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, created_at, id);
CREATE INDEX deliveries_failed ON deliveries (workspace, created_at, id) WHERE state = 'failed';
CREATE INDEX deliveries_of_event ON deliveries (event_id);
CREATE INDEX deliveries_not_fetched ON deliveries (links_expire_at)
    WHERE state = 'delivered' AND recording_fetched_at IS NULL AND transcript_fetched_at IS NULL;

CREATE TABLE attempts (
    delivery_id     TEXT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number          BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    took_ms         BIGINT NOT NULL,
    status          BIGINT,              -- null: no answer
    code            TEXT NOT NULL,
    summary         TEXT NOT NULL,
    advice          TEXT,
    excerpt         TEXT,               -- the answer's first bytes
    links_expire_at BIGINT,
    PRIMARY KEY (delivery_id, number)
);

-- What happened to endpoints without a person's doing: disabled, enabled again.
CREATE TABLE notices (
    id              TEXT PRIMARY KEY,
    workspace       TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    what            TEXT NOT NULL,
    reason          TEXT NOT NULL,
    at              BIGINT NOT NULL
);
CREATE INDEX notices_of_workspace ON notices (workspace, at);
