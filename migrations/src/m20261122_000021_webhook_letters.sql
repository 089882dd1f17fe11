-- Letters about webhooks that are still to be sent. Their addresses are the webhook's, as it is configured then.
CREATE TABLE webhook_letters (
    id         {key} PRIMARY KEY,
    webhook    TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
