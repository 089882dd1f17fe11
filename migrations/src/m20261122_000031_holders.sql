-- Who holds a number or a connection, as the audit log names them; null: a provider's answer did. An earlier program writes none, so what its
-- people hold meanwhile looks like an answer's.
ALTER TABLE connections ADD COLUMN held_by TEXT NULL;

ALTER TABLE senders ADD COLUMN held_by TEXT NULL;

-- Whose the holds of now are is in the audit log.
UPDATE connections SET held_by = (SELECT actor FROM audit_log WHERE action = 'hold connection'
    AND subject = 'connection ' || connections.id AND at >= held_since ORDER BY audit_log.key DESC LIMIT 1) WHERE held_since IS NOT NULL;

UPDATE senders SET held_by = (SELECT actor FROM audit_log WHERE action = 'hold number'
    AND subject = 'number ' || senders.number AND at >= held_since ORDER BY audit_log.key DESC LIMIT 1) WHERE held_since IS NOT NULL;
