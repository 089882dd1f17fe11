-- Who wrote to an account's numbers, and how each conversation stands. Both are made and moved by what people write; a message that
-- is only sent costs nothing here.

CREATE TABLE contacts (
    id            {id} PRIMARY KEY,
    account       INTEGER NOT NULL,
    -- The number, or the provider's id of a person who hides it: what makes the person one.
    who           TEXT NOT NULL,
    phone         TEXT NULL,
    user_id       TEXT NULL,
    -- Of the person's profile, or as somebody of the account wrote it.
    name          TEXT NULL,
    -- Somebody of the account wrote the name: the profile's changes it no more.
    name_is_ours  BOOLEAN NOT NULL,
    -- JSON: a list of texts, in their order.
    tags          TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    CHECK (phone IS NOT NULL OR user_id IS NOT NULL)
);

-- By the person first: one is also looked for at all accounts.
CREATE UNIQUE INDEX contacts_who ON contacts (who, account);
CREATE INDEX contacts_newest ON contacts (last_seen_at, id);

-- One for each contact and number. Its state: 1 open, 2 expired, 3 only automatic replies answer, 4 closed, 5 blocked.
CREATE TABLE conversations (
    id               {id} PRIMARY KEY,
    account          INTEGER NOT NULL,
    contact          BIGINT NOT NULL,
    sender           INTEGER NOT NULL,
    state            SMALLINT NOT NULL CHECK (state BETWEEN 1 AND 5),
    tags             TEXT NOT NULL,
    -- When it was opened last.
    opened_at        BIGINT NOT NULL,
    last_inbound_at  BIGINT NOT NULL,
    -- Until when the person can be answered freely.
    window_ends_at   BIGINT NOT NULL,
    -- What the person wrote and nobody answered, since when.
    waiting_since    BIGINT NULL,
    -- It waited too long, or was answered automatically.
    unattended_since BIGINT NULL,
    -- Somebody of the account answered since it was opened.
    answered_at      BIGINT NULL
);

CREATE UNIQUE INDEX conversations_of ON conversations (contact, sender);
CREATE INDEX conversations_newest ON conversations (last_inbound_at, id);
CREATE INDEX conversations_unattended ON conversations (unattended_since, id) WHERE unattended_since IS NOT NULL;
CREATE INDEX conversations_ending ON conversations (window_ends_at) WHERE state IN (1, 3);
CREATE INDEX conversations_waiting ON conversations (account, waiting_since) WHERE waiting_since IS NOT NULL AND unattended_since IS NULL;
