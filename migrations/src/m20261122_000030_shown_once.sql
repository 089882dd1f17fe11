-- A page with a new secret in it, sealed: it is shown once, to the session that asked for it, and until then at most.
ALTER TABLE operator_sessions ADD COLUMN shown {bytes} NULL;

ALTER TABLE operator_sessions ADD COLUMN shown_until BIGINT NULL;
