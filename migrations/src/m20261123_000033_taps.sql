-- Whether a message from a person is a tap on a quick-reply button: 1 or 0. Null: it is none from a person, or came before this was noted.
ALTER TABLE events ADD COLUMN tapped SMALLINT NULL;
