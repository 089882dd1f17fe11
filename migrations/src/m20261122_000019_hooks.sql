-- Webhooks that people configure. Their cursors are rows of `subscriptions`.

CREATE TABLE webhooks (
    key             INTEGER NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    enabled         BOOLEAN NOT NULL,
    -- Everything is kept for it, and nothing is sent.
    paused          BOOLEAN NOT NULL,
    -- Encrypted JSON: URL, headers and credentials are secrets, and the rest is short.
    settings        {bytes} NOT NULL,
    -- When and why the bridge itself switched it off.
    switched_off_at BIGINT NULL,
    switched_off    TEXT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    CHECK ((switched_off_at IS NULL) = (switched_off IS NULL))
);

CREATE INDEX subscriptions_webhook ON subscriptions (webhook) WHERE webhook IS NOT NULL;
