-- Sessions are deleted when they are old; what they added to the aggregates
-- stays. Forward only.
--
-- Lock order everywhere, which the first migrations say for their own tables:
-- batches, sessions, session_facts, customer_facts, tables of schema rollup,
-- past_contributions; keys sorted.

-- This comes first. It waits for everybody who reads the table, as verify and a
-- backup do for long, and must not have what loads need meanwhile: the index
-- keeps them waiting while it is made.
ALTER TABLE nexero.customer_facts ADD COLUMN first_end timestamptz, ADD COLUMN shared bytea;
COMMENT ON COLUMN nexero.customer_facts.first_end IS
    'When the first of the customer''s deleted sessions had ended; NULL when none was deleted. It keeps later visits repeat visits.';
COMMENT ON COLUMN nexero.customer_facts.shared IS
    'What deleted sessions have counted on days that a session which is kept is on as well, as contributions; NULL for nothing. It is part of contributions and becomes past when the last such session leaves the day.';
COMMENT ON TABLE nexero.customer_facts IS
    'What a customer''s sessions mean together, and what the customer has added to the aggregates: a function of the customer''s rows in nexero.session_facts, of first_end and of shared.';

-- Deletions go from the oldest session to the youngest.
CREATE INDEX sessions_first_received ON nexero.sessions (first_received_at, session_no);
COMMENT ON TABLE nexero.sessions IS
    'One row per session that any batch spoke of. Written once by the worker that saw it first; never updated; deleted with all that is kept of the session when nothing of it was received for the retention of sessions.';

-- An aggregate row is the sum of what session_facts, customer_facts and this
-- table hold for it.
CREATE TABLE nexero.past_contributions (
    tenant_id     integer NOT NULL,
    generation    smallint NOT NULL,
    property_id   text COLLATE "C" NOT NULL,
    day           date NOT NULL,
    contributions bytea NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day)
);
COMMENT ON TABLE nexero.past_contributions IS
    'What sessions and customers that are no longer kept have added to the aggregates, summed: written in the transactions that delete them. Kept for good, as the aggregates are.';
COMMENT ON COLUMN nexero.past_contributions.tenant_id IS 'Tenant.';
COMMENT ON COLUMN nexero.past_contributions.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN nexero.past_contributions.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN nexero.past_contributions.day IS 'Day in the property''s time zone of the rows of daily tables; of those of rollup.events_hourly the UTC day.';
COMMENT ON COLUMN nexero.past_contributions.contributions IS 'What was added to each aggregate row of that property and day, exactly.';

-- A queue like nexero.customer_touches, of what the touch is about.
CREATE TABLE nexero.customer_departures (
    tenant_id   integer NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C",
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz
);
COMMENT ON TABLE nexero.customer_departures IS
    'Deleted sessions of customers, until the customer''s roll-up has moved what they added to nexero.past_contributions: some seconds. Insert only, for the roll-up to read and delete.';
COMMENT ON COLUMN nexero.customer_departures.tenant_id IS 'Tenant of the customer.';
COMMENT ON COLUMN nexero.customer_departures.customer_id IS 'Customer, in the client''s words.';
COMMENT ON COLUMN nexero.customer_departures.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN nexero.customer_departures.property_id IS 'Property of the session; NULL when none was named.';
COMMENT ON COLUMN nexero.customer_departures.started_at IS 'Start of the session.';
COMMENT ON COLUMN nexero.customer_departures.ended_at IS 'End of the session.';
CREATE INDEX customer_departures_customer ON nexero.customer_departures (tenant_id, customer_id);
