-- What was said between us and the provider about tests, word for word: for the people who try things out. Of other messages
-- nothing of the kind is kept. Times are milliseconds since the epoch.

CREATE TABLE test_exchanges (
    message     BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    took_ms     INTEGER NOT NULL,
    url         TEXT NOT NULL,
    request     TEXT NOT NULL,
    -- None: no answer came.
    http_status SMALLINT NULL,
    -- As it came; without an answer, why there is none.
    answer      TEXT NOT NULL,
    PRIMARY KEY (message, started_at)
) {clustered};
