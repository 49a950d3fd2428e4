-- Keys that end by themselves, keys that are no secret, and replays of rejected
-- events. Forward only.

ALTER TABLE nexero.api_keys
    ADD COLUMN expires_at  timestamptz,
    ADD COLUMN publishable boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN nexero.api_keys.expires_at IS
    'When it ends by itself, as the key that another replaces does; NULL when it does not. It is never moved to a later time.';
COMMENT ON COLUMN nexero.api_keys.publishable IS 'Whether the key is no secret, being part of what is handed out: it may post and nothing else.';

-- A replay adds rows to a batch as a client's repeat does, at a time of receipt
-- of its own, and nobody sent anything again.
ALTER TABLE nexero.batch_repeats
    ADD COLUMN replayed boolean NOT NULL DEFAULT false;
COMMENT ON TABLE nexero.batch_repeats IS
    'One row per time a client sent a batch again, or an operator replayed what had been rejected of it. Keyed by receipt, so a redelivery by the queue counts once.';
COMMENT ON COLUMN nexero.batch_repeats.received_at IS 'When ingest received the repeat, or when it was replayed: the time of receipt of the rows that it added.';
COMMENT ON COLUMN nexero.batch_repeats.replayed IS 'Whether it was an operator''s replay, which counts as no repeat.';
