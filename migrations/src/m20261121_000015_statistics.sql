-- How much of what happened in each hour: for overviews, which would otherwise have to count messages.

-- How far the number was behind its pace at most in that minute, in milliseconds.
ALTER TABLE activity ADD COLUMN behind_ms BIGINT NOT NULL DEFAULT 0;

CREATE TABLE statistics (
    -- Hours since the epoch, in which the bridge did it or heard of it.
    hour    BIGINT NOT NULL,
    account INTEGER NOT NULL,
    -- 1 accepted, 2 refused, 3 sent, 4 delivered, 5 read, 6 failed, 7 received, 8 replied, 9 answered, 10 told, 11 not told.
    figure  SMALLINT NOT NULL CHECK (figure BETWEEN 1 AND 11),
    -- Failed: the reason. Answered: how fast, as a place in the list of limits. Otherwise 0.
    detail  SMALLINT NOT NULL,
    -- Failed: the provider's code, or -1. Otherwise -1.
    code    BIGINT NOT NULL,
    amount  BIGINT NOT NULL,
    -- Failed: what the provider said of one of them, without numbers.
    said    TEXT NULL,
    PRIMARY KEY (hour, account, figure, detail, code)
) {clustered};
