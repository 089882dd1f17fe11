-- Refused requests of one account, the newest first.
CREATE INDEX refused_by_account ON refused_requests (account, id);

-- An erasure goes on where a dead process left it: for that the number is kept, sealed, and emptied at the end.
ALTER TABLE erasures ADD COLUMN phone {bytes} NULL;
-- 1: nothing more is sent to the person.
ALTER TABLE erasures ADD COLUMN suppress SMALLINT NOT NULL DEFAULT 0;
-- JSON: counts of what is erased so far.
ALTER TABLE erasures ADD COLUMN so_far TEXT NULL;
-- 1 by the console, 2 by the API, 3 by a command.
ALTER TABLE erasures ADD COLUMN via SMALLINT NOT NULL DEFAULT 1;

-- Cancelling what waits of a campaign: a job that any instance goes on with.
CREATE TABLE campaign_cancels (
    key        {key} PRIMARY KEY,
    account    INTEGER NOT NULL,
    campaign   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    via        SMALLINT NOT NULL,
    started_at BIGINT NOT NULL,
    -- Moved on every second by whoever does it.
    seen_at    BIGINT NOT NULL,
    cancelled  BIGINT NOT NULL DEFAULT 0,
    ended_at   BIGINT NULL
);

-- One at a time for each campaign.
CREATE UNIQUE INDEX campaign_cancels_open ON campaign_cancels (account, campaign) WHERE ended_at IS NULL;
