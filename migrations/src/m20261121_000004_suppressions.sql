-- Who must not be sent what, and whether the platform has been told.

-- One row for each account, person and source of the wish. A lifted one stays: news may come late and in any order.
CREATE TABLE suppressions (
    account     INTEGER NOT NULL,
    -- A keyed hash of the telephone number, or of the provider's id of a person who hides it.
    person      {bytes} NOT NULL,
    -- 1 the person, 2 the number's block list at the provider, 3 an operator.
    source      SMALLINT NOT NULL CHECK (source BETWEEN 1 AND 3),
    -- 1 marketing messages, 2 all messages.
    scope       SMALLINT NOT NULL CHECK (scope IN (1, 2)),
    lifted      BOOLEAN NOT NULL,
    -- Neither of them: the person was forgotten, and the hash alone still suppresses.
    phone       TEXT NULL,
    user_id     TEXT NULL,
    reason      TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    -- Grows with every change, in the order of commits: who has seen one has seen all before it.
    version     BIGINT NOT NULL,
    -- The platform's own list: 0 not told yet, 1 told, 2 it refused.
    told        SMALLINT NOT NULL CHECK (told BETWEEN 0 AND 2),
    told_note   TEXT NULL,
    PRIMARY KEY (account, person, source)
) {clustered};

CREATE INDEX suppressions_version ON suppressions (version, account, person, source);
CREATE INDEX suppressions_untold ON suppressions (account, version, person) WHERE told = 0 AND phone IS NOT NULL;
-- To show the list, the newest first.
CREATE INDEX suppressions_newest ON suppressions (account, occurred_at, person, source) WHERE NOT lifted;
CREATE INDEX suppressions_lifted ON suppressions (occurred_at) WHERE lifted;

-- How the last exchange with each account's platform about them went.
CREATE TABLE suppression_syncs (
    account   INTEGER NOT NULL PRIMARY KEY,
    synced_at BIGINT NULL,
    failed_at BIGINT NULL,
    failure   TEXT NULL,
    CHECK ((failed_at IS NULL) = (failure IS NULL))
);
