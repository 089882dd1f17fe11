-- What people look at and after in the console: what was written, one person's data, alarms, instances.
-- Times are milliseconds since the epoch.

-- What people wrote, the newest first, whatever the account: among the statuses it is rare.
CREATE INDEX events_inbound ON events (recorded_at, account, place) WHERE kind = 2;

-- Which version an instance runs.
ALTER TABLE instances ADD COLUMN version TEXT NOT NULL DEFAULT '';

-- JSON: the messaging limit before the one that the state has, and when it was found changed.
ALTER TABLE channels ADD COLUMN limit_before TEXT NULL;
ALTER TABLE channels ADD COLUMN limit_changed_at BIGINT NULL;

-- What operators were told, letter by letter.
CREATE TABLE alarm_letters (
    key      {key} PRIMARY KEY,
    at       BIGINT NOT NULL,
    instance TEXT NOT NULL,
    subject  TEXT NOT NULL,
    text     TEXT NOT NULL,
    -- JSON: a list of ways, each with why it failed; empty when no way is set up and only the log has it.
    ways     TEXT NOT NULL
);

CREATE INDEX alarm_letters_at ON alarm_letters (at);

-- Erasing one person's data, asked for by somebody. The number is nowhere in it but masked.
CREATE TABLE erasures (
    key        {key} PRIMARY KEY,
    person     TEXT NOT NULL,
    -- The only account whose data is erased; none: of all.
    account    TEXT NULL,
    actor      TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- Moved on every few seconds by whoever does it.
    seen_at    BIGINT NOT NULL,
    -- Thousandths.
    share      INTEGER NOT NULL DEFAULT 0 CHECK (share BETWEEN 0 AND 1000),
    ended_at   BIGINT NULL,
    -- JSON: counts of what was erased, or why it stopped.
    erased     TEXT NULL,
    failure    TEXT NULL,
    CHECK ((ended_at IS NULL) = (erased IS NULL AND failure IS NULL))
);

CREATE INDEX erasures_started ON erasures (started_at);
