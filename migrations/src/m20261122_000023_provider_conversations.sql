-- By what name a provider knows the conversation in which a person wrote to a number, where an answer must name it. Who wrote is
-- hashed with the number; what is older than a day is of no use.
CREATE TABLE provider_conversations (
    hash         {bytes} NOT NULL PRIMARY KEY,
    conversation TEXT NOT NULL,
    heard_at     BIGINT NOT NULL
) {clustered};

CREATE INDEX provider_conversations_heard ON provider_conversations (heard_at);
