-- For whom we work, through whom, from which numbers, and whom we tell. Written by people, seldom.
-- Times are milliseconds since the epoch. Encrypted columns can be read with the master key only.

-- One set of credentials and settings at one provider.
CREATE TABLE connections (
    key         {key} PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    provider    TEXT NOT NULL,
    -- JSON: name to value.
    settings    TEXT NOT NULL,
    -- Encrypted JSON: name to values.
    secrets     {bytes} NOT NULL,
    -- While it stands no work is done through it, and the reason says why.
    held_since  BIGINT NULL,
    held_reason TEXT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    CHECK ((held_since IS NULL) = (held_reason IS NULL))
);

-- One customer's workspace on one platform.
CREATE TABLE accounts (
    key         {key} PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    platform    TEXT NOT NULL,
    enabled     BOOLEAN NOT NULL,
    -- JSON.
    policy      TEXT NOT NULL,
    -- Encrypted JSON.
    credentials {bytes} NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- One WhatsApp business number of one account.
CREATE TABLE senders (
    key                 {key} PRIMARY KEY,
    account             INTEGER NOT NULL REFERENCES accounts (key),
    connection          INTEGER NOT NULL REFERENCES connections (key),
    -- With its plus sign.
    number              TEXT NOT NULL UNIQUE,
    provider_number_id  TEXT NOT NULL,
    provider_account_id TEXT NOT NULL,
    messages_per_second INTEGER NOT NULL CHECK (messages_per_second BETWEEN 1 AND 100000),
    held_since          BIGINT NULL,
    held_reason         TEXT NULL,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    UNIQUE (connection, provider_number_id),
    CHECK ((held_since IS NULL) = (held_reason IS NULL))
);

CREATE INDEX senders_account ON senders (account);

-- A callback URL, the one kind of event that it wants, and how far into the log it has been told.
CREATE TABLE subscriptions (
    key           {key} PRIMARY KEY,
    account       INTEGER NOT NULL REFERENCES accounts (key),
    kind          SMALLINT NOT NULL CHECK (kind IN (1, 2, 3, 4, 5)),
    -- Events of this number only; none: of all numbers without a subscription of their own.
    sender        INTEGER NULL REFERENCES senders (key),
    -- The webhook that hears of this kind of the account's events; none: the platform's own callback URL.
    webhook       INTEGER NULL,
    dialect       TEXT NOT NULL,
    -- Encrypted: who knows it may post to it. The hint is its scheme and host.
    url           {bytes} NOT NULL,
    url_hint      TEXT NOT NULL,
    enabled       BOOLEAN NOT NULL,
    cursor        BIGINT NOT NULL DEFAULT 0 CHECK (cursor >= 0),
    failing_since BIGINT NULL,
    failures      INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    -- Not before this, after a failure.
    due_at        BIGINT NULL,
    held_since    BIGINT NULL,
    held_reason   TEXT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    CHECK ((held_since IS NULL) = (held_reason IS NULL))
);

-- One URL for each kind, account and number, and one cursor for each kind, account and webhook.
CREATE UNIQUE INDEX subscriptions_one ON subscriptions (account, kind, COALESCE(sender, 0), COALESCE(webhook, 0));

-- Raised by every change, so that a running instance sees that it has to read again.
CREATE TABLE versions (
    name    TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO versions (name, version) VALUES ('configuration', 1);
