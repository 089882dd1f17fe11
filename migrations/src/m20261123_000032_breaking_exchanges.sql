-- What was said to a provider, word for word, is not kept of tests alone: of every try that was not taken, too. A program that knows the
-- table by its old name cannot forget or delete what is in it, so it does not go on beside this step.
ALTER TABLE test_exchanges RENAME TO send_exchanges;

-- Which try it was; none: a test before this step.
ALTER TABLE send_exchanges ADD COLUMN attempt SMALLINT NULL;

-- Of every message that was taken: the beginning of the SHA-256 of the request's body, by which one that is built again is known to be
-- what was sent, and the beginning of the answer.
ALTER TABLE outbound_messages ADD COLUMN request_hash BIGINT NULL;

ALTER TABLE outbound_messages ADD COLUMN answer TEXT NULL;

ALTER TABLE earlier_sends ADD COLUMN request_hash BIGINT NULL;

ALTER TABLE earlier_sends ADD COLUMN answer TEXT NULL;
