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
    -- Released: what it kept back goes into the queues again, and then the row goes.
    released_at       BIGINT NULL,
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
