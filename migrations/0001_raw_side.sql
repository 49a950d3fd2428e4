-- The raw side: what workers write. Forward only.
--
-- Every write of a batch happens in one transaction that begins with its row in
-- the ledger, nexero.batches. Lock order everywhere: batches, sessions; keys
-- sorted.

CREATE SCHEMA nexero;
COMMENT ON SCHEMA nexero IS
    'Events as received, the ledger that makes them exactly once, and what else workers write. Analysts read schema analytics.';

CREATE TABLE nexero.tenants (
    tenant_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nexero.tenants IS 'One row per customer of ours. Made when its first key is created or its first batch is loaded.';
COMMENT ON COLUMN nexero.tenants.tenant_id IS 'Number of the tenant in every other table.';
COMMENT ON COLUMN nexero.tenants.name IS 'Name of the tenant as keys and queued messages carry it.';
COMMENT ON COLUMN nexero.tenants.created_at IS 'When the row was made.';

CREATE TABLE nexero.api_keys (
    key_id      text PRIMARY KEY,
    tenant_id   integer NOT NULL REFERENCES nexero.tenants,
    environment text NOT NULL,
    hash        bytea NOT NULL,
    scopes      text[] NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
COMMENT ON TABLE nexero.api_keys IS
    'Mirror of the queue''s bucket of API keys, from which a lost bucket can be restored. Holds hashes, never keys.';
COMMENT ON COLUMN nexero.api_keys.key_id IS 'Public part of the key, safe in logs.';
COMMENT ON COLUMN nexero.api_keys.tenant_id IS 'Tenant that the key posts for.';
COMMENT ON COLUMN nexero.api_keys.environment IS 'Environment in the key''s text: development, staging or production.';
COMMENT ON COLUMN nexero.api_keys.hash IS 'SHA-256 of the whole key.';
COMMENT ON COLUMN nexero.api_keys.scopes IS 'What the key may do: post, read, admin.';
COMMENT ON COLUMN nexero.api_keys.name IS 'What an operator called it.';
COMMENT ON COLUMN nexero.api_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN nexero.api_keys.revoked_at IS 'When it was revoked; a revoked key is never revived.';
CREATE INDEX api_keys_tenant ON nexero.api_keys (tenant_id);

CREATE TABLE nexero.event_types (
    event_type smallint PRIMARY KEY,
    name       text NOT NULL UNIQUE
);
COMMENT ON TABLE nexero.event_types IS 'Names of the numbers in nexero.events.event_type. A number is never given to another name.';
COMMENT ON COLUMN nexero.event_types.event_type IS 'Number as stored.';
COMMENT ON COLUMN nexero.event_types.name IS 'Name as sent by clients.';
INSERT INTO nexero.event_types (event_type, name) VALUES
    (0, 'custom'), (1, 'pose'), (2, 'gaze'), (3, 'fixation'), (4, 'zone_enter'), (5, 'zone_exit'),
    (6, 'interaction'), (7, 'feature_select'), (8, 'unit_select'), (9, 'teleport'), (10, 'turn'),
    (11, 'hotspot_open'), (12, 'media_play'), (13, 'cta'), (14, 'survey_answer'), (15, 'session_start'),
    (16, 'session_end'), (17, 'heartbeat'), (18, 'idle_start'), (19, 'idle_end'), (20, 'view'), (21, 'poi'),
    (22, 'contact'), (23, 'hand_tracking'), (24, 'voice_command'), (25, 'error');

-- The ledger -----------------------------------------------------------------

-- The key is batch_id alone and the partitions are by its hash: an id that a
-- client made carries no time, so a date in the key would count a retry after
-- midnight as new.
CREATE SEQUENCE nexero.batch_no;
COMMENT ON SEQUENCE nexero.batch_no IS 'Numbers for nexero.batches.batch_no. Gaps are normal: a rolled-back load keeps its numbers.';

CREATE TABLE nexero.batches (
    batch_id         uuid NOT NULL PRIMARY KEY,
    receipt_id       uuid NOT NULL,
    batch_no         bigint NOT NULL DEFAULT nextval('nexero.batch_no'),
    received_at      timestamptz NOT NULL,
    written_at       timestamptz NOT NULL DEFAULT now(),
    tenant_id        integer NOT NULL,
    accepted         integer NOT NULL,
    late             integer NOT NULL,
    corrected        integer NOT NULL,
    digest           bytea NOT NULL,
    rejected_indexes smallint[],
    rejected_codes   text[],
    CONSTRAINT batches_rejected CHECK (
        cardinality(rejected_indexes) IS NOT DISTINCT FROM cardinality(rejected_codes))
) PARTITION BY HASH (batch_id);
COMMENT ON TABLE nexero.batches IS
    'The ledger: one row per batch that ever reached PostgreSQL, written in the transaction that stored its events. A batch with a row here is never loaded again.';
COMMENT ON COLUMN nexero.batches.batch_id IS 'Identity of the batch, from the client''s own id or from its content.';
COMMENT ON COLUMN nexero.batches.receipt_id IS 'The delivery by the client that was stored; a retry by the client has another, a redelivery by the queue the same.';
COMMENT ON COLUMN nexero.batches.batch_no IS 'Short name of the batch: what its rows in other tables carry.';
COMMENT ON COLUMN nexero.batches.received_at IS 'When ingest received it.';
COMMENT ON COLUMN nexero.batches.written_at IS 'When this row was written; the row''s age for retention.';
COMMENT ON COLUMN nexero.batches.tenant_id IS 'Tenant that posted it.';
COMMENT ON COLUMN nexero.batches.accepted IS 'Number of its rows in nexero.events.';
COMMENT ON COLUMN nexero.batches.late IS 'How many accepted events happened more than 24 hours before receipt.';
COMMENT ON COLUMN nexero.batches.corrected IS 'How many accepted events came from a clock that was not believed.';
COMMENT ON COLUMN nexero.batches.digest IS 'First 16 bytes of SHA-256 of the events'' raw bytes. The same id with another digest is not a repeat.';
COMMENT ON COLUMN nexero.batches.rejected_indexes IS 'Positions in the body of the events that are in nexero.rejected_events; -1 is the body as a whole. NULL when there are none.';
COMMENT ON COLUMN nexero.batches.rejected_codes IS 'Reason of each position in rejected_indexes.';

-- Rows elsewhere name a batch by its number; retention looks for old rows.
CREATE INDEX batches_batch_no ON nexero.batches (batch_no);
CREATE INDEX batches_written ON nexero.batches USING brin (written_at);

DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE nexero.batches_%s PARTITION OF nexero.batches FOR VALUES WITH (MODULUS 16, REMAINDER %s)', i, i);
        EXECUTE format('COMMENT ON TABLE nexero.batches_%s IS %L', i, 'Part of nexero.batches by the hash of batch_id.');
    END LOOP;
END
$$;

CREATE TABLE nexero.batch_repeats (
    batch_id    uuid NOT NULL,
    receipt_id  uuid NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, receipt_id)
);
COMMENT ON TABLE nexero.batch_repeats IS
    'One row per time a client sent a batch again. Keyed by receipt, so a redelivery by the queue counts once.';
COMMENT ON COLUMN nexero.batch_repeats.batch_id IS 'The batch that was repeated.';
COMMENT ON COLUMN nexero.batch_repeats.receipt_id IS 'The repeat.';
COMMENT ON COLUMN nexero.batch_repeats.received_at IS 'When ingest received the repeat.';

-- Sessions -------------------------------------------------------------------

CREATE TABLE nexero.sessions (
    session_no        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id        uuid NOT NULL UNIQUE,
    first_received_at timestamptz NOT NULL,
    tenant_id         integer NOT NULL,
    client_id         text NOT NULL
);
COMMENT ON TABLE nexero.sessions IS 'One row per session that any batch spoke of. Written once by the worker that saw it first; never updated.';
COMMENT ON COLUMN nexero.sessions.session_no IS 'Short name of the session: what its rows in other tables carry.';
COMMENT ON COLUMN nexero.sessions.session_id IS 'Identity: a UUID from SHA-256 of tenant and the client''s id in normal form.';
COMMENT ON COLUMN nexero.sessions.first_received_at IS 'When ingest received the batch that made this row.';
COMMENT ON COLUMN nexero.sessions.tenant_id IS 'Tenant that the session belongs to.';
COMMENT ON COLUMN nexero.sessions.client_id IS 'The id as the client first wrote it.';

CREATE TABLE nexero.session_reports (
    batch_no       bigint PRIMARY KEY,
    session_no     bigint NOT NULL,
    received_at    timestamptz NOT NULL,
    started_at     timestamptz,
    ended_at       timestamptz,
    clock_shift_ms bigint,
    batch_id       uuid NOT NULL,
    customer_id    text,
    property_id    text,
    device         text,
    props          jsonb
);
COMMENT ON TABLE nexero.session_reports IS
    'What clients said about sessions as a whole. Append only; for each field the report with the latest (received_at, batch_id) holds.';
COMMENT ON COLUMN nexero.session_reports.batch_no IS 'The session post in the ledger.';
COMMENT ON COLUMN nexero.session_reports.session_no IS 'The session it speaks of.';
COMMENT ON COLUMN nexero.session_reports.received_at IS 'When ingest received it.';
COMMENT ON COLUMN nexero.session_reports.started_at IS 'Declared start, after clock_shift_ms was added.';
COMMENT ON COLUMN nexero.session_reports.ended_at IS 'Declared end, after clock_shift_ms was added; may lie in the future or before the start.';
COMMENT ON COLUMN nexero.session_reports.clock_shift_ms IS 'Milliseconds added to the client''s times; NULL when its clock was believed.';
COMMENT ON COLUMN nexero.session_reports.batch_id IS 'The session post''s batch id, which decides between reports of one instant.';
COMMENT ON COLUMN nexero.session_reports.customer_id IS 'The visitor, in the client''s words.';
COMMENT ON COLUMN nexero.session_reports.property_id IS 'The property, in the client''s words.';
COMMENT ON COLUMN nexero.session_reports.device IS 'The headset or browser, in the client''s words.';
COMMENT ON COLUMN nexero.session_reports.props IS 'Everything else that was sent.';
CREATE INDEX session_reports_session ON nexero.session_reports (session_no);

-- A queue without a key: a worker appends and never waits for a roll-up that
-- holds the session.
CREATE TABLE nexero.session_touches (
    session_no  bigint NOT NULL,
    batch_no    bigint NOT NULL,
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE nexero.session_touches IS 'Sessions that got new rows, for the roll-up to read and delete. Insert only for workers.';
COMMENT ON COLUMN nexero.session_touches.session_no IS 'Session that got rows.';
COMMENT ON COLUMN nexero.session_touches.batch_no IS 'Batch that brought them.';
COMMENT ON COLUMN nexero.session_touches.received_at IS 'Time of receipt of exactly the rows that were written: a repeat adds rows to a batch at another one.';
CREATE INDEX session_touches_session ON nexero.session_touches (session_no);

-- Events ---------------------------------------------------------------------

-- Columns run from wide to narrow, so that no byte is lost to alignment; the
-- NULLs of a pose cost nothing. There is no unique index: exactly-once is the
-- ledger's work, and one would cost 40 % of the load's speed.
CREATE TABLE nexero.events (
    batch_no       bigint NOT NULL,
    session_no     bigint NOT NULL,
    received_at    timestamptz NOT NULL,
    occurred_at    timestamptz NOT NULL,
    clock_shift_ms bigint,
    client_seq     bigint,
    x              real,
    y              real,
    z              real,
    pitch          real,
    yaw            real,
    roll           real,
    duration_ms    integer,
    event_index    smallint NOT NULL,
    event_type     smallint NOT NULL,
    class          smallint NOT NULL,
    level          smallint,
    zone           text,
    object         text,
    target         text,
    action         text,
    name           text,
    props          jsonb
) PARTITION BY LIST (class);
COMMENT ON TABLE nexero.events IS
    'Every accepted event, once. Partitioned by class, then by UTC day of receipt, so that poses can be dropped earlier than the rest.';
COMMENT ON COLUMN nexero.events.batch_no IS 'Batch that brought it; with event_index the name of the event.';
COMMENT ON COLUMN nexero.events.session_no IS 'Session it belongs to.';
COMMENT ON COLUMN nexero.events.received_at IS 'When ingest received it.';
COMMENT ON COLUMN nexero.events.occurred_at IS 'When it happened, after clock_shift_ms was added to the client''s time.';
COMMENT ON COLUMN nexero.events.clock_shift_ms IS 'Milliseconds added to the client''s time; NULL when its clock was believed.';
COMMENT ON COLUMN nexero.events.client_seq IS 'The client''s own counter within the session.';
COMMENT ON COLUMN nexero.events.x IS 'Position forward, in centimetres of the Unreal world.';
COMMENT ON COLUMN nexero.events.y IS 'Position to the right, in centimetres.';
COMMENT ON COLUMN nexero.events.z IS 'Position up, in centimetres.';
COMMENT ON COLUMN nexero.events.pitch IS 'Rotation about the right axis, in degrees, up positive.';
COMMENT ON COLUMN nexero.events.yaw IS 'Rotation about the up axis, in degrees; wraps at 180.';
COMMENT ON COLUMN nexero.events.roll IS 'Rotation about the forward axis, in degrees.';
COMMENT ON COLUMN nexero.events.duration_ms IS 'Length that the event brings with it, in milliseconds.';
COMMENT ON COLUMN nexero.events.event_index IS 'Position in the body, rejected events included.';
COMMENT ON COLUMN nexero.events.event_type IS 'What happened; see nexero.event_types.';
COMMENT ON COLUMN nexero.events.class IS 'How long it is kept: 0 pose, 1 other.';
COMMENT ON COLUMN nexero.events.level IS 'Floor, 0 at the entrance; NULL when not sent.';
COMMENT ON COLUMN nexero.events.zone IS 'Room or area.';
COMMENT ON COLUMN nexero.events.object IS 'Object that was touched.';
COMMENT ON COLUMN nexero.events.target IS 'Object that was looked at.';
COMMENT ON COLUMN nexero.events.action IS 'What was done to the object.';
COMMENT ON COLUMN nexero.events.name IS 'The client''s own word for an event of type custom.';
COMMENT ON COLUMN nexero.events.props IS 'Everything else that was sent.';

-- Equal keys are folded together, so this index costs about 10 bytes an event;
-- (session_no, occurred_at) would cost 66. Order within a session is made by
-- the reader.
CREATE INDEX events_session ON nexero.events (session_no, batch_no);

CREATE TABLE nexero.events_pose PARTITION OF nexero.events FOR VALUES IN (0) PARTITION BY RANGE (received_at);
COMMENT ON TABLE nexero.events_pose IS 'Events of class pose, by UTC day of receipt.';
CREATE TABLE nexero.events_other PARTITION OF nexero.events FOR VALUES IN (1) PARTITION BY RANGE (received_at);
COMMENT ON TABLE nexero.events_other IS 'Events of class other, by UTC day of receipt.';

-- What was not stored --------------------------------------------------------

CREATE TABLE nexero.rejected_events (
    written_at     timestamptz NOT NULL DEFAULT now(),
    received_at    timestamptz NOT NULL,
    batch_no       bigint NOT NULL,
    tenant_id      integer NOT NULL,
    event_index    smallint NOT NULL,
    session_id     uuid,
    code           text NOT NULL,
    field          text,
    detail         text,
    correlation_id text,
    form           text NOT NULL,
    payload        bytea NOT NULL,
    CONSTRAINT rejected_events_form CHECK (form IN ('sent', 'row1', 'report1'))
) PARTITION BY RANGE (written_at);
COMMENT ON TABLE nexero.rejected_events IS
    'Every event that is not in nexero.events, with its reason and its bytes. Partitioned by UTC day of writing, kept 30 days.';
COMMENT ON COLUMN nexero.rejected_events.written_at IS 'When this row was written.';
COMMENT ON COLUMN nexero.rejected_events.received_at IS 'When ingest received the batch.';
COMMENT ON COLUMN nexero.rejected_events.batch_no IS 'The batch in the ledger.';
COMMENT ON COLUMN nexero.rejected_events.tenant_id IS 'Tenant that posted it.';
COMMENT ON COLUMN nexero.rejected_events.event_index IS 'Position in the body; -1 is the body as a whole.';
COMMENT ON COLUMN nexero.rejected_events.session_id IS 'Session it belongs to, where that could be read.';
COMMENT ON COLUMN nexero.rejected_events.code IS 'Why, from a closed list.';
COMMENT ON COLUMN nexero.rejected_events.field IS 'Member at fault; NULL when the event as a whole is.';
COMMENT ON COLUMN nexero.rejected_events.detail IS 'What was wrong, in a sentence.';
COMMENT ON COLUMN nexero.rejected_events.correlation_id IS 'Ties the row to the request''s log lines.';
COMMENT ON COLUMN nexero.rejected_events.form IS 'What payload holds: sent (JSON as the client sent it), row1 (the row that was not stored, binary COPY), report1 (a session report, JSON). The digit is the version of the layout.';
COMMENT ON COLUMN nexero.rejected_events.payload IS 'The bytes, from which the event can be replayed.';
CREATE INDEX rejected_events_batch ON nexero.rejected_events (batch_no, event_index);
CREATE INDEX rejected_events_tenant ON nexero.rejected_events (tenant_id, written_at);
CREATE INDEX rejected_events_session ON nexero.rejected_events (session_id);

CREATE TABLE nexero.damaged_messages (
    digest     bytea PRIMARY KEY,
    written_at timestamptz NOT NULL DEFAULT now(),
    reason     text NOT NULL,
    message    bytea NOT NULL
);
COMMENT ON TABLE nexero.damaged_messages IS
    'Queue messages that were not loaded whole, kept as they were: nobody can read them, or PostgreSQL refused one of their batches as such. A row here means that acknowledged events are not in nexero.events: it pages someone.';
COMMENT ON COLUMN nexero.damaged_messages.digest IS 'SHA-256 of message, so that a redelivery is kept once.';
COMMENT ON COLUMN nexero.damaged_messages.written_at IS 'When it was kept.';
COMMENT ON COLUMN nexero.damaged_messages.reason IS 'Why: what the decoder or PostgreSQL said, and which batches.';
COMMENT ON COLUMN nexero.damaged_messages.message IS 'The message''s bytes.';
