-- What daily life needs beside the messages: keys that survive a change of the master key, and callbacks told again.

-- Random keys by what they are for (links, hashes). Encrypted with the master key, so that what was made with them
-- stays valid when that one changes.
CREATE TABLE secrets (
    name       TEXT NOT NULL PRIMARY KEY,
    value      {bytes} NOT NULL,
    created_at BIGINT NOT NULL
);

-- Callbacks that an operator wants to be told again: a second way through the log, beside the subscription's cursor.
CREATE TABLE replays (
    id             {key} PRIMARY KEY,
    subscription   INTEGER NOT NULL,
    account        INTEGER NOT NULL,
    -- Which events of the stretch: 1 dead, 2 not relayed, 3 delivered, 4 all.
    selection      SMALLINT NOT NULL CHECK (selection BETWEEN 1 AND 4),
    -- Only events about this message.
    message        BIGINT NULL,
    next_place     BIGINT NOT NULL,
    last_place     BIGINT NOT NULL,
    -- Only events that were heard in this time.
    recorded_from  BIGINT NULL,
    recorded_until BIGINT NULL,
    per_second     INTEGER NULL CHECK (per_second >= 1),
    -- How many it was about when it was asked for, and what became of them.
    wanted         BIGINT NOT NULL,
    told           BIGINT NOT NULL DEFAULT 0,
    refused        BIGINT NOT NULL DEFAULT 0,
    passed         BIGINT NOT NULL DEFAULT 0,
    -- The trouble that it is in, or in which it ended.
    note           TEXT NULL,
    created_at     BIGINT NOT NULL,
    finished_at    BIGINT NULL
);

CREATE INDEX replays_open ON replays (subscription, id) WHERE finished_at IS NULL;

CREATE INDEX callbacks_age ON callbacks (created_at);
