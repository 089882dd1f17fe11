-- How a number's messages are completed: JSON, with a default for every field.
ALTER TABLE senders ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
