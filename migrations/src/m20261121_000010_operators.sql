-- People and programs that work with the bridge: who they are, that they are signed in, what they did.
-- Times are milliseconds since the epoch. Of whatever opens a door only a hash is kept.

CREATE TABLE operators (
    key          {key} PRIMARY KEY,
    -- In small letters.
    name         TEXT NOT NULL UNIQUE,
    -- 1 owner, 2 operator, 3 read-only.
    role         SMALLINT NOT NULL CHECK (role BETWEEN 1 AND 3),
    -- Argon2id, in PHC's form; none until the person has chosen one.
    password     TEXT NULL,
    created_at   BIGINT NOT NULL,
    signed_in_at BIGINT NULL,
    disabled_at  BIGINT NULL
);

-- Links that let somebody choose a password, once.
CREATE TABLE operator_links (
    hash       {bytes} NOT NULL PRIMARY KEY,
    -- Whose; none: whoever opens it becomes the first owner.
    operator   INTEGER NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE operator_sessions (
    hash       {bytes} NOT NULL PRIMARY KEY,
    operator   INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    -- Written once a minute at most.
    seen_at    BIGINT NOT NULL,
    address    TEXT NOT NULL,
    -- What the browser calls itself.
    agent      TEXT NOT NULL
);

CREATE INDEX operator_sessions_operator ON operator_sessions (operator);

-- Tries to sign in, by what is limited: a name or an address. A row is as old as its window.
CREATE TABLE sign_in_tries (
    subject    TEXT NOT NULL PRIMARY KEY,
    tries      INTEGER NOT NULL,
    started_at BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    key        {key} PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       {bytes} NOT NULL UNIQUE,
    -- Its last characters, so that people can tell one from another.
    ending     TEXT NOT NULL,
    -- With spaces between them.
    scopes     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Written once a minute at most.
    used_at    BIGINT NULL,
    revoked_at BIGINT NULL
);

-- What people and programs changed. Append-only; secrets are blanked before they come here.
CREATE TABLE audit_log (
    key     {key} PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    -- 1 console, 2 API, 3 command line.
    via     SMALLINT NOT NULL CHECK (via BETWEEN 1 AND 3),
    address TEXT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- JSON.
    before  TEXT NULL,
    after   TEXT NULL
);

CREATE INDEX audit_log_at ON audit_log (at);
