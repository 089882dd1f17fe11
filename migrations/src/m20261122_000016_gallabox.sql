-- Other ids by which a provider speaks of a message than the one that it first gave: their hashes, as in provider_ids.
CREATE TABLE other_provider_ids (
    message BIGINT NOT NULL,
    hash    {bytes} NOT NULL,
    PRIMARY KEY (message, hash)
) {clustered};

-- Numbers whose provider must be asked what happened: from when on to ask next.
CREATE TABLE polls (
    sender INTEGER NOT NULL PRIMARY KEY,
    since  BIGINT NOT NULL
);
