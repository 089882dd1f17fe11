-- Files that people sent, copied from their provider into a store of our own. A row is there before its file and goes after
-- it, so no file is ever without one.
CREATE TABLE media (
    -- Carries the time of receipt.
    id                  {id} PRIMARY KEY,
    -- Of number and provider's message id: what a link names.
    hash                {bytes} NOT NULL UNIQUE,
    account             INTEGER NOT NULL,
    sender              INTEGER NOT NULL,
    -- Who sent it. Emptied, with all that is the person's, when the file is to be deleted.
    person              TEXT NULL,
    person_user_id      TEXT NULL,
    provider_message_id TEXT NULL,
    provider_media_id   TEXT NULL,
    kind                SMALLINT NOT NULL CHECK (kind BETWEEN 1 AND 6),
    mime_type           TEXT NULL,
    filename            TEXT NULL,
    -- 0 pending, 1 stored, 2 failed, 3 to be deleted.
    state               SMALLINT NOT NULL CHECK (state BETWEEN 0 AND 3),
    size_bytes          BIGINT NULL,
    attempts            SMALLINT NOT NULL DEFAULT 0,
    -- Pending: not before (a retry). To be deleted: not before the last copying that may still run.
    due_at              BIGINT NULL,
    reason              TEXT NULL,
    stored_at           BIGINT NULL,
    CHECK ((state IN (0, 3)) = (due_at IS NOT NULL)),
    CHECK ((state = 1) = (stored_at IS NOT NULL)),
    CHECK (state <> 0 OR provider_media_id IS NOT NULL),
    CHECK (state <> 2 OR reason IS NOT NULL)
);

CREATE INDEX media_due ON media (state, sender, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX media_state ON media (state);
CREATE INDEX media_person ON media (person) WHERE person IS NOT NULL;
CREATE INDEX media_person_user_id ON media (person_user_id) WHERE person_user_id IS NOT NULL;
