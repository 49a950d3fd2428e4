package postgres

// checks are the rules that ledger and rows keep. @kept is the first instant of
// which nothing has been dropped; the ledger itself and rejected_events are
// kept longer than that from writing.
//
//nolint:gochecknoglobals // a table that never changes
var checks = []check{
	{"accepted events are stored", `
SELECT 'batch ' || b.batch_id, 'the ledger says ' || b.accepted || ' events, there are ' || coalesce(e.n, 0)
FROM nexero.batches b
LEFT JOIN (SELECT batch_no, count(*) AS n FROM nexero.events GROUP BY batch_no) e USING (batch_no)
WHERE b.received_at >= @kept AND b.accepted <> coalesce(e.n, 0)`},

	{"an event is in one place once", `
SELECT 'batch ' || coalesce((SELECT batch_id::text FROM nexero.batches WHERE batch_no = u.batch_no LIMIT 1), 'no. ' || batch_no)
       || ' event ' || event_index,
       count(*) FILTER (WHERE stored) || ' times stored, ' || count(*) FILTER (WHERE NOT stored) || ' times rejected'
FROM (SELECT batch_no, event_index, true AS stored FROM nexero.events
      UNION ALL
      SELECT batch_no, event_index, false FROM nexero.rejected_events) u
GROUP BY batch_no, event_index
HAVING count(*) > 1`},

	{"rejections are kept", `
SELECT 'batch ' || coalesce(l.batch_id::text, 'no. ' || batch_no) || ' event ' || event_index,
       CASE WHEN l.code IS NULL THEN 'rejected_events has it as ' || r.code || ', the ledger does not'
            WHEN r.code IS NULL THEN 'the ledger has it as ' || l.code || ', rejected_events does not'
            ELSE 'the ledger says ' || l.code || ', rejected_events ' || r.code END
FROM (SELECT b.batch_id, b.batch_no, b.written_at, u.event_index, u.code
      FROM nexero.batches b, unnest(b.rejected_indexes, b.rejected_codes) AS u (event_index, code)) l
FULL JOIN nexero.rejected_events r USING (batch_no, event_index)
WHERE l.code IS DISTINCT FROM r.code
  AND NOT (r.code IS NULL AND l.written_at < now() - interval '30 days')`},

	{"events have their batch and session", `
SELECT 'events of batch no. ' || e.batch_no || ' and session no. ' || e.session_no,
       e.n || ' events ' || CASE WHEN b.batch_id IS NULL THEN 'without a batch'
                                 WHEN s.session_id IS NULL THEN 'without a session'
                                 ELSE 'of tenant ' || b.tenant_id || ' in a session of tenant ' || s.tenant_id END
FROM (SELECT batch_no, session_no, count(*) AS n, max(received_at) AS received_at
      FROM nexero.events GROUP BY batch_no, session_no) e
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN nexero.sessions s USING (session_no)
WHERE (b.batch_id IS NULL AND e.received_at >= @kept) OR s.session_id IS NULL OR b.tenant_id <> s.tenant_id`},

	{"reports have their batch and session", `
SELECT 'report of batch no. ' || r.batch_no,
       CASE WHEN b.batch_id IS NULL THEN 'without a batch'
            WHEN b.batch_id <> r.batch_id THEN 'under batch ' || r.batch_id || ', the ledger says ' || b.batch_id
            WHEN s.session_id IS NULL THEN 'without session no. ' || r.session_no
            ELSE 'of tenant ' || b.tenant_id || ' in a session of tenant ' || s.tenant_id END
FROM nexero.session_reports r
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN nexero.sessions s USING (session_no)
WHERE (b.batch_id IS NULL AND r.received_at >= @kept) OR b.batch_id <> r.batch_id
   OR s.session_id IS NULL OR b.tenant_id <> s.tenant_id`},

	{"rejections have their tenant and session", `
SELECT 'rejected event ' || r.event_index || ' of batch no. ' || r.batch_no,
       CASE WHEN b.tenant_id <> r.tenant_id THEN 'of tenant ' || r.tenant_id || ', its batch is of tenant ' || b.tenant_id
            WHEN s.session_id IS NULL THEN 'of session ' || r.session_id || ', which is not there'
            ELSE 'of tenant ' || r.tenant_id || ' in a session of tenant ' || s.tenant_id END
FROM nexero.rejected_events r
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN nexero.sessions s USING (session_id)
WHERE b.tenant_id <> r.tenant_id
   OR (r.session_id IS NOT NULL AND (s.session_id IS NULL OR s.tenant_id <> r.tenant_id))`},

	{"types are known", `
SELECT 'events of type ' || event_type || ' and class ' || class,
       count(*) || CASE WHEN min(t.name) IS NULL THEN ' of a type without a name' ELSE ' in the wrong class' END
FROM nexero.events
LEFT JOIN nexero.event_types t USING (event_type)
WHERE t.name IS NULL
   OR class <> CASE WHEN event_type = @pose OR (event_type = @gaze AND coalesce(duration_ms, 0) = 0)
                    THEN @class_pose::smallint ELSE @class_other::smallint END
GROUP BY event_type, class`},

	{"a batch has a number of its own", `
SELECT 'batch no. ' || batch_no, count(*) || ' batches have it'
FROM nexero.batches
GROUP BY batch_no
HAVING count(*) > 1`},

	{"no message is damaged", `
SELECT 'message ' || encode(digest, 'hex'), 'kept as damaged: ' || length(message) || ' bytes, ' || reason
FROM nexero.damaged_messages`},
}
