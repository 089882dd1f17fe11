-- What a replay is narrowed to besides: events whose last answer had this code, and those that were left behind for a reason with these
-- words in it. An earlier program reads neither, so while it runs beside a later one it would tell all of them again that are dead.
ALTER TABLE replays ADD COLUMN answered SMALLINT NULL;

ALTER TABLE replays ADD COLUMN reason TEXT NULL;
