-- How a webhook's receiver answered: headers, an empty line, the beginning of the body; without secrets, within limits. Platforms'
-- URLs have none, so it costs their rows nothing.
ALTER TABLE callback_attempts ADD COLUMN excerpt TEXT NULL;

-- Why a number cannot be asked what happened, since when, and when it is asked again; without the last, something was said that
-- could not be seen.
ALTER TABLE polls ADD COLUMN trouble TEXT NULL;

ALTER TABLE polls ADD COLUMN trouble_since BIGINT NULL;

ALTER TABLE polls ADD COLUMN again_at BIGINT NULL;
