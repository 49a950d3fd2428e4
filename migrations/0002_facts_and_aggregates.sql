-- Facts of sessions and customers, and the aggregates that are their sums.
-- Forward only.
--
-- Lock order everywhere: batches, sessions, session_facts, customer_facts,
-- tables of schema rollup in the order in which they are made here; keys sorted.

CREATE TABLE nexero.properties (
    tenant_id   integer NOT NULL REFERENCES nexero.tenants,
    property_id text COLLATE "C" NOT NULL,
    name        text,
    time_zone   text NOT NULL DEFAULT 'UTC',
    origin_x    real NOT NULL DEFAULT 0,
    origin_y    real NOT NULL DEFAULT 0,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, property_id)
);
COMMENT ON TABLE nexero.properties IS
    'What an operator said of a property. One that is not here counts in UTC from the origin of the Unreal world. Changed by the program only: aggregates follow.';
COMMENT ON COLUMN nexero.properties.tenant_id IS 'Tenant that the property belongs to.';
COMMENT ON COLUMN nexero.properties.property_id IS 'The property, in the client''s words.';
COMMENT ON COLUMN nexero.properties.name IS 'Name for people; NULL when there is none.';
COMMENT ON COLUMN nexero.properties.time_zone IS 'IANA name of its time zone: the one in which its days begin.';
COMMENT ON COLUMN nexero.properties.origin_x IS 'Where the floor plan begins, in centimetres forward in the Unreal world.';
COMMENT ON COLUMN nexero.properties.origin_y IS 'Where the floor plan begins, in centimetres to the right.';
COMMENT ON COLUMN nexero.properties.changed_at IS 'When the row was last changed.';

CREATE TABLE nexero.generations (
    generation smallint PRIMARY KEY,
    live       boolean NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nexero.generations IS 'Aggregates can be built anew beside the ones that are read. Each such building is a generation; one is live.';
COMMENT ON COLUMN nexero.generations.generation IS 'Number in the keys of facts and aggregates.';
COMMENT ON COLUMN nexero.generations.live IS 'Whether views show it.';
COMMENT ON COLUMN nexero.generations.made_at IS 'When it was begun.';
CREATE UNIQUE INDEX generations_live ON nexero.generations (live) WHERE live;
INSERT INTO nexero.generations (generation, live) VALUES (1, true);

-- Facts ----------------------------------------------------------------------

-- The columns between are what views show; state and contributions are all that
-- the program reads back.
CREATE TABLE nexero.session_facts (
    session_no        bigint NOT NULL,
    due_at            timestamptz NOT NULL DEFAULT now(),
    recompute_at      timestamptz NOT NULL DEFAULT now(),
    rolled_at         timestamptz,
    started_at        timestamptz,
    ended_at          timestamptz,
    first_received_at timestamptz,
    last_received_at  timestamptz,
    duration_ms       bigint,
    active_ms         bigint,
    events            bigint,
    over_limit        bigint,
    seq_received      bigint,
    seq_expected      bigint,
    tenant_id         integer NOT NULL,
    recomputes        integer NOT NULL DEFAULT 0,
    zones             integer,
    generation        smallint NOT NULL,
    facts_version     smallint NOT NULL DEFAULT 0,
    sealed            boolean NOT NULL DEFAULT false,
    path_kept         boolean NOT NULL DEFAULT true,
    ended             boolean NOT NULL DEFAULT false,
    start_declared    boolean NOT NULL DEFAULT false,
    end_declared      boolean NOT NULL DEFAULT false,
    clock_stepped     boolean NOT NULL DEFAULT false,
    customer_id       text COLLATE "C",
    property_id       text COLLATE "C",
    device            text,
    entry_zone        text,
    exit_zone         text,
    visit_zones       text[],
    visit_levels      smallint[],
    visit_entered_at  timestamptz[],
    visit_left_at     timestamptz[],
    visit_dwell_ms    bigint[],
    visit_closed_by   text[],
    state             bytea,
    contributions     bytea,
    PRIMARY KEY (session_no, generation)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE nexero.session_facts IS
    'What the events and reports of a session mean, and what it has added to the aggregates. Made and locked by roll-ups, never by loads.';
COMMENT ON COLUMN nexero.session_facts.session_no IS 'Session, as in nexero.sessions.';
COMMENT ON COLUMN nexero.session_facts.due_at IS 'Not rolled up again before.';
COMMENT ON COLUMN nexero.session_facts.recompute_at IS 'Not folded anew from its first event before; new events that only extend it do not wait for this.';
COMMENT ON COLUMN nexero.session_facts.rolled_at IS 'When it was last rolled up; NULL before the first time.';
COMMENT ON COLUMN nexero.session_facts.started_at IS 'Start: as declared, else the first event.';
COMMENT ON COLUMN nexero.session_facts.ended_at IS 'End: as declared, else the last event; may lie in the future.';
COMMENT ON COLUMN nexero.session_facts.first_received_at IS 'First receipt of anything of it; lower bound of its raw rows.';
COMMENT ON COLUMN nexero.session_facts.last_received_at IS 'Last receipt of anything of it.';
COMMENT ON COLUMN nexero.session_facts.duration_ms IS 'End minus start, from 0 to 24 hours, in milliseconds.';
COMMENT ON COLUMN nexero.session_facts.active_ms IS 'The part of it that was not idle, in milliseconds.';
COMMENT ON COLUMN nexero.session_facts.events IS 'Events that were folded.';
COMMENT ON COLUMN nexero.session_facts.over_limit IS 'Events that lie beyond the limits of a session: stored, counted, not folded.';
COMMENT ON COLUMN nexero.session_facts.seq_received IS 'Events that carried a sequence number.';
COMMENT ON COLUMN nexero.session_facts.seq_expected IS 'Events that there must be by those numbers; 0 when the client does not count.';
COMMENT ON COLUMN nexero.session_facts.tenant_id IS 'Tenant of the session.';
COMMENT ON COLUMN nexero.session_facts.recomputes IS 'How often it was folded anew since it was last quiet; the pauses between grow with it.';
COMMENT ON COLUMN nexero.session_facts.zones IS 'Different zones that were visited.';
COMMENT ON COLUMN nexero.session_facts.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN nexero.session_facts.facts_version IS 'Version of the definitions; 0 before the first roll-up.';
COMMENT ON COLUMN nexero.session_facts.sealed IS 'Raw events were dropped: it is never folded anew, later events are added by themselves.';
COMMENT ON COLUMN nexero.session_facts.path_kept IS 'The state still holds the path; it is dropped with the raw poses.';
COMMENT ON COLUMN nexero.session_facts.ended IS 'The client said that it is over.';
COMMENT ON COLUMN nexero.session_facts.start_declared IS 'The client declared the start.';
COMMENT ON COLUMN nexero.session_facts.end_declared IS 'The client declared the end.';
COMMENT ON COLUMN nexero.session_facts.clock_stepped IS 'The client''s clock was set by more than a day during the session.';
COMMENT ON COLUMN nexero.session_facts.customer_id IS 'Customer as last reported; NULL when nobody was named.';
COMMENT ON COLUMN nexero.session_facts.property_id IS 'Property as last reported; NULL when none was named.';
COMMENT ON COLUMN nexero.session_facts.device IS 'Device as last reported.';
COMMENT ON COLUMN nexero.session_facts.entry_zone IS 'Zone entered first.';
COMMENT ON COLUMN nexero.session_facts.exit_zone IS 'Zone left last.';
COMMENT ON COLUMN nexero.session_facts.visit_zones IS 'Zone of each visit, in the order in which they began.';
COMMENT ON COLUMN nexero.session_facts.visit_levels IS 'Floor of each visit.';
COMMENT ON COLUMN nexero.session_facts.visit_entered_at IS 'Begin of each visit.';
COMMENT ON COLUMN nexero.session_facts.visit_left_at IS 'End of each visit.';
COMMENT ON COLUMN nexero.session_facts.visit_dwell_ms IS 'Length of each visit without idle time, in milliseconds.';
COMMENT ON COLUMN nexero.session_facts.visit_closed_by IS 'How each visit ended: exit, next_enter, session_end.';
COMMENT ON COLUMN nexero.session_facts.state IS 'State of the fold, to be extended by later events.';
COMMENT ON COLUMN nexero.session_facts.contributions IS 'What the session has added to each aggregate row, exactly.';
CREATE INDEX session_facts_customer ON nexero.session_facts (tenant_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX session_facts_property ON nexero.session_facts (tenant_id, property_id, started_at);

-- A queue like nexero.session_touches.
CREATE TABLE nexero.customer_touches (
    tenant_id   integer NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    touched_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nexero.customer_touches IS 'Customers with a session whose facts changed, for the roll-up to read and delete. Insert only.';
COMMENT ON COLUMN nexero.customer_touches.tenant_id IS 'Tenant of the customer.';
COMMENT ON COLUMN nexero.customer_touches.customer_id IS 'Customer, in the client''s words.';
COMMENT ON COLUMN nexero.customer_touches.touched_at IS 'When the session''s facts changed.';
CREATE INDEX customer_touches_customer ON nexero.customer_touches (tenant_id, customer_id);

CREATE TABLE nexero.customer_facts (
    tenant_id     integer NOT NULL,
    customer_id   text COLLATE "C" NOT NULL,
    generation    smallint NOT NULL,
    facts_version smallint NOT NULL DEFAULT 0,
    rolled_at     timestamptz,
    sessions      bigint NOT NULL DEFAULT 0,
    contributions bytea,
    PRIMARY KEY (tenant_id, customer_id, generation)
) WITH (fillfactor = 70);
COMMENT ON TABLE nexero.customer_facts IS
    'What a customer''s sessions mean together, and what the customer has added to the aggregates: a function of the customer''s rows in nexero.session_facts.';
COMMENT ON COLUMN nexero.customer_facts.tenant_id IS 'Tenant of the customer.';
COMMENT ON COLUMN nexero.customer_facts.customer_id IS 'Customer, in the client''s words.';
COMMENT ON COLUMN nexero.customer_facts.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN nexero.customer_facts.facts_version IS 'Version of the definitions; 0 before the first roll-up.';
COMMENT ON COLUMN nexero.customer_facts.rolled_at IS 'When it was last rolled up; NULL before the first time.';
COMMENT ON COLUMN nexero.customer_facts.sessions IS 'Sessions of the customer.';
COMMENT ON COLUMN nexero.customer_facts.contributions IS 'What the customer has added to each aggregate row, exactly.';

-- Aggregates -----------------------------------------------------------------

-- Keys have the "C" collation: the program sorts them, and locks rows in that
-- order.
CREATE SCHEMA rollup;
COMMENT ON SCHEMA rollup IS 'Sums of facts, as integers. Each row is exactly the sum of what sessions and customers have added. Analysts read schema analytics.';

CREATE FUNCTION rollup.add_bins(bins integer[], added integer[]) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
BEGIN
    FOR i IN 1 .. cardinality(added) LOOP
        -- Most of what is added is 0, and assigning costs more than looking.
        IF added[i] <> 0 THEN
            bins[i] := bins[i] + added[i];
        END IF;
    END LOOP;
    RETURN bins;
END
$$;
COMMENT ON FUNCTION rollup.add_bins IS 'Sum of two arrays of one length. Element 1 is bin 0.';

CREATE TABLE rollup.zones_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    zone        text COLLATE "C" NOT NULL,
    refs        bigint NOT NULL,
    visits bigint NOT NULL,
    dwell_ms bigint NOT NULL,
    pass_throughs bigint NOT NULL,
    revisits bigint NOT NULL,
    entries bigint NOT NULL,
    exits bigint NOT NULL,
    bounces bigint NOT NULL,
    dwell_bins integer[] NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day, zone)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.zones_daily IS 'One row is a zone on a day: visits that began on it.';
COMMENT ON COLUMN rollup.zones_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.zones_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.zones_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.zones_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.zones_daily.zone IS 'Zone; '''' outside all zones.';
COMMENT ON COLUMN rollup.zones_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.zones_daily.visits IS 'Visits.';
COMMENT ON COLUMN rollup.zones_daily.dwell_ms IS 'Their length without idle time, in milliseconds.';
COMMENT ON COLUMN rollup.zones_daily.pass_throughs IS 'Visits shorter than 1 s.';
COMMENT ON COLUMN rollup.zones_daily.revisits IS 'Sessions that came back: one for each session with two or more visits.';
COMMENT ON COLUMN rollup.zones_daily.entries IS 'Sessions whose first zone it was.';
COMMENT ON COLUMN rollup.zones_daily.exits IS 'Sessions whose last zone it was.';
COMMENT ON COLUMN rollup.zones_daily.bounces IS 'Sessions whose only zone it was.';
COMMENT ON COLUMN rollup.zones_daily.dwell_bins IS 'Number of visits by length; see rollup.bin_bounds.';

CREATE TABLE rollup.zone_transitions_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    zone        text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    refs        bigint NOT NULL,
    transitions bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day, zone, object)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.zone_transitions_daily IS 'One row is a way from one zone to another on a day, that on which the second was entered.';
COMMENT ON COLUMN rollup.zone_transitions_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.zone_transitions_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.zone_transitions_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.zone_transitions_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.zone_transitions_daily.zone IS 'Zone that was left; '''' for the session''s start.';
COMMENT ON COLUMN rollup.zone_transitions_daily.object IS 'Zone that was entered; '''' for the session''s end.';
COMMENT ON COLUMN rollup.zone_transitions_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.zone_transitions_daily.transitions IS 'How often it was taken.';

CREATE TABLE rollup.gaze_targets_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    zone        text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    refs        bigint NOT NULL,
    looks bigint NOT NULL,
    look_ms bigint NOT NULL,
    fixations bigint NOT NULL,
    fixation_ms bigint NOT NULL,
    first_looks bigint NOT NULL,
    first_look_ms bigint NOT NULL,
    first_look_bins integer[] NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day, zone, object)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.gaze_targets_daily IS 'One row is a target as seen from a zone on a day.';
COMMENT ON COLUMN rollup.gaze_targets_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.gaze_targets_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.gaze_targets_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.gaze_targets_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.gaze_targets_daily.zone IS 'Zone; '''' outside all zones.';
COMMENT ON COLUMN rollup.gaze_targets_daily.object IS 'Target of the looks.';
COMMENT ON COLUMN rollup.gaze_targets_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.gaze_targets_daily.looks IS 'Looks that began.';
COMMENT ON COLUMN rollup.gaze_targets_daily.look_ms IS 'Their length, in milliseconds.';
COMMENT ON COLUMN rollup.gaze_targets_daily.fixations IS 'Fixations that began.';
COMMENT ON COLUMN rollup.gaze_targets_daily.fixation_ms IS 'Their length, in milliseconds.';
COMMENT ON COLUMN rollup.gaze_targets_daily.first_looks IS 'Sessions that looked at it for the first time.';
COMMENT ON COLUMN rollup.gaze_targets_daily.first_look_ms IS 'Time from entering the zone to the first look, summed over first_looks, in milliseconds.';
COMMENT ON COLUMN rollup.gaze_targets_daily.first_look_bins IS 'Number of first looks by that time; see rollup.bin_bounds.';

CREATE TABLE rollup.interactions_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    zone        text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    refs        bigint NOT NULL,
    interactions bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day, zone, object, kind)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.interactions_daily IS 'One row is what was done to an object in a zone on a day.';
COMMENT ON COLUMN rollup.interactions_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.interactions_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.interactions_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.interactions_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.interactions_daily.zone IS 'Zone; '''' outside all zones.';
COMMENT ON COLUMN rollup.interactions_daily.object IS 'Object.';
COMMENT ON COLUMN rollup.interactions_daily.kind IS 'What was done.';
COMMENT ON COLUMN rollup.interactions_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.interactions_daily.interactions IS 'How often.';

CREATE TABLE rollup.floor_heatmap_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    level       smallint NOT NULL,
    x           integer NOT NULL,
    y           integer NOT NULL,
    refs        bigint NOT NULL,
    heat_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day, level, x, y)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.floor_heatmap_daily IS 'One row is a floor cell of 25 cm on a day.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.level IS 'Floor, 0 at the entrance.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.x IS 'Cell, counted forward from the origin of the floor plan.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.y IS 'Cell, counted to the right.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.floor_heatmap_daily.heat_ms IS 'Time spent in it, in milliseconds.';

CREATE TABLE rollup.events_hourly (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    hour        timestamptz NOT NULL,
    event_type  smallint NOT NULL,
    refs        bigint NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, hour, event_type)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.events_hourly IS 'One row is an event type in an hour.';
COMMENT ON COLUMN rollup.events_hourly.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.events_hourly.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.events_hourly.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.events_hourly.hour IS 'When an hour of the property''s clock began.';
COMMENT ON COLUMN rollup.events_hourly.event_type IS 'Type as in nexero.event_types.';
COMMENT ON COLUMN rollup.events_hourly.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.events_hourly.events IS 'Events.';

CREATE TABLE rollup.properties_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    refs        bigint NOT NULL,
    duration_ms bigint NOT NULL,
    active_ms bigint NOT NULL,
    engaged bigint NOT NULL,
    high_intent bigint NOT NULL,
    events bigint NOT NULL,
    over_limit bigint NOT NULL,
    duration_bins integer[] NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.properties_daily IS 'One row is a property on a day: sessions that began on it.';
COMMENT ON COLUMN rollup.properties_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.properties_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.properties_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.properties_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.properties_daily.refs IS 'Sessions that are in this row. A row with none is deleted.';
COMMENT ON COLUMN rollup.properties_daily.duration_ms IS 'Their length, in milliseconds.';
COMMENT ON COLUMN rollup.properties_daily.active_ms IS 'Their length without idle time, in milliseconds.';
COMMENT ON COLUMN rollup.properties_daily.engaged IS 'Those of 180 s or more.';
COMMENT ON COLUMN rollup.properties_daily.high_intent IS 'Those of 600 s or more.';
COMMENT ON COLUMN rollup.properties_daily.events IS 'Events in them.';
COMMENT ON COLUMN rollup.properties_daily.over_limit IS 'Events beyond a session''s limits, which are stored and in no other number.';
COMMENT ON COLUMN rollup.properties_daily.duration_bins IS 'Number of sessions by length; see rollup.bin_bounds.';

CREATE TABLE rollup.customers_daily (
    tenant_id   integer NOT NULL,
    generation  smallint NOT NULL,
    property_id text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    refs        bigint NOT NULL,
    repeat_visitors bigint NOT NULL,
    PRIMARY KEY (tenant_id, generation, property_id, day)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rollup.customers_daily IS 'One row is a property on a day: customers with a session that began on it.';
COMMENT ON COLUMN rollup.customers_daily.tenant_id IS 'Tenant.';
COMMENT ON COLUMN rollup.customers_daily.generation IS 'Generation of the aggregates; see nexero.generations.';
COMMENT ON COLUMN rollup.customers_daily.property_id IS 'Property as the client named it; '''' while unknown.';
COMMENT ON COLUMN rollup.customers_daily.day IS 'Day in the property''s time zone.';
COMMENT ON COLUMN rollup.customers_daily.refs IS 'Customers. A row with none is deleted.';
COMMENT ON COLUMN rollup.customers_daily.repeat_visitors IS 'Those with an earlier session, anywhere, that had ended 30 minutes or more before.';

-- Quality of what was sent ---------------------------------------------------

-- Its unit is the batch. A load knows what it changes of a batch, so it appends
-- the difference in its own transaction and never waits for a row that others
-- add to; a roll-up moves differences into the sums.
CREATE TABLE nexero.quality_changes (
    tenant_id integer NOT NULL,
    day       date NOT NULL,
    measure   text COLLATE "C" NOT NULL,
    code      text COLLATE "C" NOT NULL,
    change    bigint NOT NULL
);
COMMENT ON TABLE nexero.quality_changes IS 'Differences that are not yet in rollup.data_quality_daily. Insert only for loads.';
COMMENT ON COLUMN nexero.quality_changes.tenant_id IS 'Tenant that posted.';
COMMENT ON COLUMN nexero.quality_changes.day IS 'UTC day of receipt.';
COMMENT ON COLUMN nexero.quality_changes.measure IS 'What was counted; see rollup.data_quality_daily.';
COMMENT ON COLUMN nexero.quality_changes.code IS 'Reason of rejected events and bodies, '''' for all other measures.';
COMMENT ON COLUMN nexero.quality_changes.change IS 'What is to be added.';

CREATE TABLE rollup.data_quality_daily (
    tenant_id integer NOT NULL,
    day       date NOT NULL,
    measure   text COLLATE "C" NOT NULL,
    code      text COLLATE "C" NOT NULL,
    n         bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, measure, code)
) WITH (fillfactor = 70);
COMMENT ON TABLE rollup.data_quality_daily IS
    'Counts of what arrived, by UTC day of receipt. Has no generation: nothing that is built anew changes it.';
COMMENT ON COLUMN rollup.data_quality_daily.tenant_id IS 'Tenant that posted.';
COMMENT ON COLUMN rollup.data_quality_daily.day IS 'UTC day of receipt.';
COMMENT ON COLUMN rollup.data_quality_daily.measure IS
    'batches (new ones), received (events in them: accepted and rejected ones), accepted, rejected, bodies (rejected as a whole and no events: unreadable ones, and session reports), late, corrected, repeats (batches of the day that were sent again, whenever that was).';
COMMENT ON COLUMN rollup.data_quality_daily.code IS 'Reason of rejected events and bodies, '''' for all other measures.';
COMMENT ON COLUMN rollup.data_quality_daily.n IS 'How many. A row with none is deleted.';

-- What was loaded before there were sums. Loads wait until this is committed.
LOCK TABLE nexero.batches IN SHARE MODE;
INSERT INTO nexero.quality_changes (tenant_id, day, measure, code, change)
SELECT tenant_id, day, measure, code, sum(n)
FROM (SELECT b.tenant_id, (b.received_at AT TIME ZONE 'UTC')::date AS day, m.measure, m.code, m.n
      FROM nexero.batches b
      LEFT JOIN LATERAL (SELECT count(*) AS n FROM unnest(b.rejected_indexes) AS u (event_index) WHERE event_index >= 0) r ON true
      CROSS JOIN LATERAL (
          VALUES ('batches', '', 1::bigint), ('received', '', b.accepted + r.n), ('accepted', '', b.accepted),
                 ('late', '', b.late), ('corrected', '', b.corrected)
      ) AS m (measure, code, n)
      UNION ALL
      SELECT b.tenant_id, (b.received_at AT TIME ZONE 'UTC')::date, CASE WHEN u.event_index < 0 THEN 'bodies' ELSE 'rejected' END, u.code, 1
      FROM nexero.batches b, unnest(b.rejected_indexes, b.rejected_codes) AS u (event_index, code)
      UNION ALL
      SELECT b.tenant_id, (b.received_at AT TIME ZONE 'UTC')::date, 'repeats', '', 1
      FROM nexero.batch_repeats r JOIN nexero.batches b USING (batch_id)) each
GROUP BY tenant_id, day, measure, code
HAVING sum(n) <> 0;
