-- What providers tell about our numbers, and by which names they know people.
-- Times are milliseconds since the epoch.

-- How a provider sees a number, when it last said so, and when it last did not.
CREATE TABLE channels (
    sender    INTEGER NOT NULL PRIMARY KEY,
    -- JSON.
    state     TEXT NULL,
    read_at   BIGINT NULL,
    failed_at BIGINT NULL,
    failure   TEXT NULL,
    CHECK ((state IS NULL) = (read_at IS NULL)),
    CHECK ((failed_at IS NULL) = (failure IS NULL))
);

-- Whom a number wrote to first, and who wrote to it, within a day: what a messaging limit is counted by. A row holds all that one
-- instance noted within a moment, and its id says when; numbers without a limit have none.
CREATE TABLE recent_people (
    id     {id} PRIMARY KEY,
    sender INTEGER NOT NULL,
    -- 1 the business wrote, 2 the person wrote.
    kind   SMALLINT NOT NULL CHECK (kind IN (1, 2)),
    -- Eight bytes of each person's keyed hash.
    people {bytes} NOT NULL
);

-- Which telephone number belongs to a provider's id of a person, as one account's messages showed it. Who hides the number
-- writes under the id alone.
CREATE TABLE person_links (
    account INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    -- With its plus sign.
    phone   TEXT NOT NULL,
    -- Not moved on more often than every few days.
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (account, user_id)
) {clustered};

CREATE INDEX person_links_seen ON person_links (seen_at);
