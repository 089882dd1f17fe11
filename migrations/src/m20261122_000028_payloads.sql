-- What left with a request that carried one event: its length, its SHA-256, and of one that was not taken how it begins. Reports with
-- many statuses have none of it, so it costs their rows nothing.
ALTER TABLE callback_attempts ADD COLUMN payload_bytes INTEGER NULL;

ALTER TABLE callback_attempts ADD COLUMN payload_hash {bytes} NULL;

ALTER TABLE callback_attempts ADD COLUMN payload TEXT NULL;
