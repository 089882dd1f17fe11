-- Accounts, connections and numbers can be removed. The row stays until nothing refers to it any more, so that history has its
-- names. Its own name is replaced by one that nobody can enter, and so is free again; what it was stands beside.
ALTER TABLE connections ADD COLUMN removed_at BIGINT NULL;
ALTER TABLE connections ADD COLUMN removed_id TEXT NULL;
ALTER TABLE accounts ADD COLUMN removed_at BIGINT NULL;
ALTER TABLE accounts ADD COLUMN removed_id TEXT NULL;
ALTER TABLE senders ADD COLUMN removed_at BIGINT NULL;
ALTER TABLE senders ADD COLUMN removed_number TEXT NULL;
ALTER TABLE senders ADD COLUMN removed_provider_number_id TEXT NULL;
