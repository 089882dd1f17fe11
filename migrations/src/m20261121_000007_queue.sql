-- What operators say about parts of the queues, and about single messages.

-- Messages that wait, and those that arrive while the rule stands: 1 pause, 2 cancel. A column that is null fits everything.
CREATE TABLE queue_rules (
    key               {key} PRIMARY KEY,
    action            SMALLINT NOT NULL CHECK (action IN (1, 2)),
    account           INTEGER NULL REFERENCES accounts (key),
    sender            INTEGER NULL REFERENCES senders (key),
    campaign          TEXT NULL,
    template_name     TEXT NULL,
    template_language TEXT NULL,
    reason            TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    ends_at           BIGINT NULL,
    -- Released: what it kept back goes into the queues again.
    released_at       BIGINT NULL,
    -- It is done with, and kept for a while for those who ask what was.
    done_at           BIGINT NULL,
    CHECK (account IS NOT NULL OR sender IS NOT NULL OR campaign IS NOT NULL OR template_name IS NOT NULL),
    CHECK (template_language IS NULL OR template_name IS NOT NULL)
);

-- What an operator decided about one message, for its story.
CREATE TABLE operator_notes (
    message BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    note    TEXT NOT NULL,
    PRIMARY KEY (message, at)
) {clustered};

-- How a message stood before an operator sent it again: its row tells of the last send only.
CREATE TABLE earlier_sends (
    message             BIGINT NOT NULL,
    ended_at            BIGINT NOT NULL,
    state               SMALLINT NOT NULL CHECK (state BETWEEN 2 AND 6),
    delivery            SMALLINT NULL CHECK (delivery BETWEEN 1 AND 4),
    -- Tries up to then.
    attempts            SMALLINT NOT NULL,
    sent_at             BIGINT NULL,
    took_ms             INTEGER NULL,
    provider_message_id TEXT NULL,
    failure_reason      SMALLINT NULL,
    failure_code        BIGINT NULL,
    failure_text        TEXT NULL,
    PRIMARY KEY (message, ended_at)
) {clustered};
