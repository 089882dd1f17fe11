-- Messages on their way out, the log of what happened, and who works on what.
-- Times are milliseconds since the epoch. Numbers for states and kinds are those of src/domain.

-- One row for each message that we promised to send. Its id carries the time of acceptance.
CREATE TABLE outbound_messages (
    id                  {id} PRIMARY KEY,
    account             INTEGER NOT NULL,
    sender              INTEGER NOT NULL,
    class               SMALLINT NOT NULL CHECK (class BETWEEN 0 AND 2),
    category            SMALLINT NOT NULL CHECK (category BETWEEN 0 AND 4),
    state               SMALLINT NOT NULL CHECK (state BETWEEN 0 AND 6),
    delivery            SMALLINT NULL CHECK (delivery BETWEEN 1 AND 4),
    platform_message_id TEXT NOT NULL,
    -- The platform's campaign, where its id names one.
    campaign            TEXT NULL,
    recipient           TEXT NOT NULL,
    template_name       TEXT NULL,
    template_language   TEXT NULL,
    -- As it came; read again when it is sent.
    request             TEXT NOT NULL,
    expires_at          BIGINT NOT NULL,
    -- Queued: not before (a retry), and the moment of expiry for what an operator has paused. Unknown: when the account's policy decides.
    due_at              BIGINT NULL,
    attempts            SMALLINT NOT NULL DEFAULT 0,
    -- The lease under which it is being sent.
    epoch               BIGINT NULL,
    sent_at             BIGINT NULL,
    took_ms             INTEGER NULL,
    provider_message_id TEXT NULL,
    failure_reason      SMALLINT NULL,
    failure_code        BIGINT NULL,
    failure_text        TEXT NULL,
    -- What the provider says that it costs: a heading of its price list, twice, and one more when it is billed.
    price               SMALLINT NULL,
    -- Sent again by an operator: how long the account's log was then, and how many tries were made before.
    resent_after        BIGINT NULL,
    attempts_before     SMALLINT NOT NULL DEFAULT 0,
    CHECK ((state = 1) = (epoch IS NOT NULL)),
    CHECK ((state = 2) = (provider_message_id IS NOT NULL)),
    CHECK (due_at IS NULL OR state IN (0, 4)),
    CHECK ((failure_reason IS NULL) = (failure_text IS NULL))
);

-- The next work of a number costs the same behind ten million finished rows. The sum makes this index the only one in the
-- order in which the queue is read: by the primary key PostgreSQL would go through all that is finished first.
CREATE INDEX outbound_messages_queue ON outbound_messages (sender, class, (id + 0)) WHERE state = 0 AND due_at IS NULL;
-- With the state, so that those that wait are counted without being read.
CREATE INDEX outbound_messages_due ON outbound_messages (sender, due_at, state) WHERE due_at IS NOT NULL;
-- Those that wait for a place within the messaging limit: due a millisecond before they expire. With all that is asked of them, so
-- that they, too, are counted without being read.
CREATE INDEX outbound_messages_beyond_limit ON outbound_messages (sender, due_at, expires_at, state) WHERE state = 0 AND due_at = expires_at - 1;
CREATE INDEX outbound_messages_sending ON outbound_messages (sender) WHERE state = 1;

-- What came before: account, hash of the platform's id, hash of recipient and content.
CREATE TABLE message_keys (
    account      INTEGER NOT NULL,
    id_hash      BIGINT NOT NULL,
    content_hash {bytes} NOT NULL,
    message      BIGINT NOT NULL,
    PRIMARY KEY (account, id_hash, content_hash)
) {clustered};

-- The provider's id of a message, hashed with its number.
CREATE TABLE provider_ids (
    hash    {bytes} NOT NULL PRIMARY KEY,
    message BIGINT NOT NULL
) {clustered};

-- Tries that did not end with the provider taking the message. That one is columns of its message.
CREATE TABLE send_attempts (
    message        BIGINT NOT NULL,
    attempt        SMALLINT NOT NULL CHECK (attempt >= 1),
    started_at     BIGINT NOT NULL,
    took_ms        INTEGER NOT NULL,
    failure_reason SMALLINT NOT NULL,
    failure_code   BIGINT NULL,
    failure_text   TEXT NOT NULL,
    PRIMARY KEY (message, attempt)
) {clustered};

-- How long each account's log is. Its row is locked while places are given, so that places are in
-- the order of commits and a cursor never passes one that appears later.
CREATE TABLE logs (
    account    INTEGER NOT NULL PRIMARY KEY,
    last_place BIGINT NOT NULL CHECK (last_place >= 0)
);

-- What happened. Append-only.
CREATE TABLE events (
    account             INTEGER NOT NULL,
    place               BIGINT NOT NULL CHECK (place >= 1),
    -- 1 status, 2 inbound message, 3 notice of the provider, 4 a message of ours before anything is reported of it,
    -- 5 news of a contact or a conversation.
    kind                SMALLINT NOT NULL CHECK (kind IN (1, 2, 3, 4, 5)),
    -- Of a notice to the business account: one of the account's numbers there.
    sender              INTEGER NOT NULL,
    -- The message that it reports on; for an inbound message the one that it quotes.
    message             BIGINT NULL,
    status              SMALLINT NULL CHECK (status BETWEEN 1 AND 4),
    occurred_at         BIGINT NOT NULL,
    recorded_at         BIGINT NOT NULL,
    failure_reason      SMALLINT NULL,
    failure_code        BIGINT NULL,
    failure_text        TEXT NULL,
    -- Inbound: the provider's id of the message. Notice: its own hash. By both a repeat is recognised.
    provider_message_id TEXT NULL,
    -- Inbound: the person's number, when the entry does not tell it and it is known.
    person              TEXT NULL,
    -- The provider's own entry; none for what we concluded ourselves. Of a notice with our reading around it. Of kind 4 how far
    -- the message came.
    entry               TEXT NULL,
    PRIMARY KEY (account, place),
    CHECK ((kind = 1) = (status IS NOT NULL)),
    CHECK (kind <> 1 OR message IS NOT NULL),
    CHECK ((kind IN (2, 3)) = (provider_message_id IS NOT NULL)),
    CHECK (person IS NULL OR kind = 2),
    CHECK ((failure_reason IS NULL) = (failure_text IS NULL))
) {clustered};

CREATE INDEX events_message ON events (message) WHERE message IS NOT NULL;

CREATE INDEX events_notices ON events (recorded_at) WHERE kind = 3;

-- Inbound messages and notices that are in the log already, by hash of number and provider's id.
CREATE TABLE inbound_keys (
    hash {bytes} NOT NULL PRIMARY KEY
) {clustered};

-- Events that need care of their own: the rest of what is owed lies between cursor and end of log.
CREATE TABLE callbacks (
    subscription INTEGER NOT NULL,
    first_place  BIGINT NOT NULL,
    last_place   BIGINT NOT NULL,
    account      INTEGER NOT NULL,
    -- 1 dead: they refused it, or it grew too old. 2 not relayed: we have no words for it. 3 waits for another try of a webhook.
    state        SMALLINT NOT NULL CHECK (state IN (1, 2, 3)),
    reason       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    -- Of one that waits: how often it was tried, when it is tried again, and what it must stay in order with.
    tries        INTEGER NULL,
    due_at       BIGINT NULL,
    lane         BIGINT NULL,
    PRIMARY KEY (subscription, first_place),
    CHECK (last_place >= first_place),
    CHECK ((state = 3) = (due_at IS NOT NULL))
);

CREATE INDEX callbacks_waiting ON callbacks (subscription, due_at) WHERE state = 3;

-- One row for each exchange with a callback URL, however many events it carried. One of a replay has a row for each range
-- of neighbours among its events, because what lies between them was not told.
CREATE TABLE callback_attempts (
    id           {id} PRIMARY KEY,
    subscription INTEGER NOT NULL,
    -- The replay that it was for; none: the events were told for the first time.
    replay       INTEGER NULL,
    first_place  BIGINT NOT NULL,
    last_place   BIGINT NOT NULL,
    -- None: a test, which tells of no event.
    events       INTEGER NOT NULL CHECK (events >= 0),
    started_at   BIGINT NOT NULL,
    took_ms      INTEGER NOT NULL,
    outcome      SMALLINT NOT NULL CHECK (outcome BETWEEN 1 AND 3),
    http_status  SMALLINT NULL,
    note         TEXT NOT NULL,
    CHECK ((outcome = 3) = (http_status IS NULL))
);

CREATE INDEX callback_attempts_place ON callback_attempts (subscription, last_place);

-- Parts of webhooks that could not be read (kind 1), and statuses whose message is not known, or not
-- yet (kind 2, with the hash under which it would be found).
CREATE TABLE unrecognized (
    id         {id} PRIMARY KEY,
    connection INTEGER NOT NULL,
    kind       SMALLINT NOT NULL CHECK (kind IN (1, 2)),
    match_hash {bytes} NULL,
    pointer    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    entry      TEXT NOT NULL,
    CHECK ((kind = 2) = (match_hash IS NOT NULL))
);

CREATE INDEX unrecognized_match ON unrecognized (match_hash) WHERE match_hash IS NOT NULL;

-- Requests that we did not accept, with our answer.
CREATE TABLE refused_requests (
    id                  {id} PRIMARY KEY,
    account             INTEGER NOT NULL,
    kind                TEXT NOT NULL,
    platform_message_id TEXT NULL,
    request             {bytes} NOT NULL,
    answer              TEXT NOT NULL
);

-- Templates as their provider lists them.
CREATE TABLE templates (
    connection          INTEGER NOT NULL,
    provider_account_id TEXT NOT NULL,
    name                TEXT NOT NULL,
    language            TEXT NOT NULL,
    template            TEXT NOT NULL,
    -- JSON: the provider's own entry.
    listing             TEXT NOT NULL,
    PRIMARY KEY (connection, provider_account_id, name, language)
);

CREATE TABLE template_syncs (
    connection          INTEGER NOT NULL,
    provider_account_id TEXT NOT NULL,
    synced_at           BIGINT NULL,
    failed_at           BIGINT NULL,
    failure             TEXT NULL,
    PRIMARY KEY (connection, provider_account_id),
    CHECK ((failed_at IS NULL) = (failure IS NULL))
);

-- Running instances. The number makes their ids differ.
CREATE TABLE instances (
    id         TEXT NOT NULL PRIMARY KEY,
    node       INTEGER NOT NULL UNIQUE,
    -- Another one at each start, so that two processes of one name are noticed.
    run        BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    -- 1: takes no leases any more.
    stopping   SMALLINT NOT NULL DEFAULT 0
);

-- Who works on which number (kind 1), subscription (kind 2), the housekeeping (kind 3, item 0), or the copying of media (kind 4,
-- item 0).
-- The epoch grows with every change of hands and fences out whoever had it before.
CREATE TABLE leases (
    kind       SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 4),
    item       INTEGER NOT NULL,
    owner      TEXT NULL,
    expires_at BIGINT NULL,
    epoch      BIGINT NOT NULL,
    PRIMARY KEY (kind, item),
    CHECK ((owner IS NULL) = (expires_at IS NULL))
);

-- How far a scheduled job has come.
CREATE TABLE marks (
    name  TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
