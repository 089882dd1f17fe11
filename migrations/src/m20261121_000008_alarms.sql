-- What operators were told of, and what numbers did lately.
-- Times are milliseconds since the epoch.

-- One row for each thing that is wrong, or was a while ago: a repeat within the period is not told, also after a restart.
CREATE TABLE alarms (
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    text       TEXT NOT NULL,
    raised_at  BIGINT NOT NULL,
    -- When it was over; none while it lasts.
    over_at    BIGINT NULL,
    -- When it was last told, be it to the log alone; none when it never was.
    told_at    BIGINT NULL,
    -- The ways that took it then, such as "webhook, e-mail"; empty when none is set up.
    told_by    TEXT NOT NULL DEFAULT '',
    -- Whether they heard of it since it was last raised.
    told       BOOLEAN NOT NULL,
    PRIMARY KEY (kind, subject),
    CHECK (NOT told OR told_at IS NOT NULL)
);

-- How many messages each number sent and how often it was heard of, minute by minute. Written once a minute by each
-- instance for the numbers that did anything, so that nobody has to count messages.
CREATE TABLE activity (
    minute   BIGINT NOT NULL,
    sender   INTEGER NOT NULL,
    sent     BIGINT NOT NULL,
    expired  BIGINT NOT NULL,
    heard    BIGINT NOT NULL,
    -- When it was last heard of in this minute; none when it was not.
    heard_at BIGINT NULL,
    PRIMARY KEY (minute, sender)
) {clustered};

-- Messages that fell silent while nothing was heard of their numbers: looked at again when that changes. Empty as long as
-- webhooks arrive.
CREATE TABLE unheard_messages (
    message {id} PRIMARY KEY,
    sender  INTEGER NOT NULL,
    -- The end of the message's time to live.
    over_at BIGINT NOT NULL
);

CREATE INDEX unheard_messages_over ON unheard_messages (sender, over_at);
