-- The ledger forgets, and a customer who is too much for a roll-up waits. Forward
-- only.

CREATE TABLE nexero.ledger_horizon (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    written_before  timestamptz NOT NULL,
    received_before timestamptz NOT NULL
);
COMMENT ON TABLE nexero.ledger_horizon IS
    'How far the ledger has forgotten: one row, moved forward in the transactions that delete from nexero.batches. A load that finds a batch unknown reads it after that look.';
COMMENT ON COLUMN nexero.ledger_horizon.one IS 'There is one row.';
COMMENT ON COLUMN nexero.ledger_horizon.written_before IS 'Ledger rows last written before this may be deleted; all others are there.';
COMMENT ON COLUMN nexero.ledger_horizon.received_before IS
    'Of a batch received before this and unknown to the ledger nobody can say that it is new: it is set aside as too_old_to_check.';
INSERT INTO nexero.ledger_horizon (written_before, received_before) VALUES ('epoch', 'epoch');

-- Rows leave oldest first, a few at a time, each hour: a BRIN index would read
-- ever more of the table for that, since new rows take the place of old ones.
DROP INDEX nexero.batches_written;
CREATE INDEX batches_written ON nexero.batches (written_at);

COMMENT ON COLUMN nexero.batches.written_at IS 'When the batch last reached PostgreSQL, as a repeat too: 35 days later the row is deleted.';
COMMENT ON TABLE nexero.batches IS
    'The ledger: one row per batch that reached PostgreSQL in the last 35 days, written in the transaction that stored its events. A batch with a row here is never loaded again, and one too old to have one is not loaded.';

ALTER TABLE nexero.customer_facts ADD COLUMN due_at timestamptz;
COMMENT ON COLUMN nexero.customer_facts.due_at IS 'Not rolled up before, because it failed by itself; NULL for all others.';
