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
    -- Since when it takes nothing; who wanted to hear of that was told.
    failing_since   BIGINT NULL,
    -- On which day since the epoch that was told, and how often on it.
    alerts_day      BIGINT NOT NULL DEFAULT 0,
    alerts_told     INTEGER NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    CHECK ((switched_off_at IS NULL) = (switched_off IS NULL))
);

CREATE INDEX subscriptions_webhook ON subscriptions (webhook) WHERE webhook IS NOT NULL;
