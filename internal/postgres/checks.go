package postgres

// ledgerChecks are the rules that ledger and rows keep. @kept is the first
// instant of which no event has been dropped, @rejected_kept the same of
// rejected_events; no batch with rows received from @ledger_kept on has left the
// ledger, and none that was written from @forgotten on has lost a repeat. A ledger row is written again by a repeat that leaves other
// rejections as old as they are, so these are dated by its receipt.
func ledgerChecks() []check {
	return []check{
		{"accepted events are stored", `
SELECT 'batch ' || b.batch_id,
       CASE WHEN b.accepted <> coalesce(e.n, 0) THEN 'the ledger says ' || b.accepted || ' events, there are ' || coalesce(e.n, 0)
            ELSE 'the ledger says ' || b.late || ' late and ' || b.corrected || ' corrected, there are '
                 || coalesce(e.late, 0) || ' and ' || coalesce(e.corrected, 0) END
FROM nexero.batches b
LEFT JOIN (SELECT batch_no, count(*) AS n, count(clock_shift_ms) AS corrected,
                  count(*) FILTER (WHERE received_at - occurred_at > @late_after::interval) AS late
           FROM nexero.events GROUP BY batch_no) e USING (batch_no)
WHERE b.received_at >= @kept AND b.written_at >= @forgotten
  AND NOT EXISTS (SELECT FROM nexero.batch_repeats r WHERE r.batch_id = b.batch_id AND r.received_at < @kept)
  AND (b.accepted <> coalesce(e.n, 0) OR b.late <> coalesce(e.late, 0) OR b.corrected <> coalesce(e.corrected, 0))`},

		{"events have a position and their batch's time", `
SELECT 'events of batch ' || coalesce(b.batch_id::text, 'no. ' || e.batch_no) || ' received at ' || e.received_at,
       CASE WHEN e.lowest < 0 OR e.highest >= @positions THEN 'positions from ' || e.lowest || ' to ' || e.highest
            ELSE e.n || ' events received when neither the batch nor a repeat was' END
FROM (SELECT batch_no, received_at, count(*) AS n, min(event_index) AS lowest, max(event_index) AS highest
      FROM nexero.events GROUP BY batch_no, received_at) e
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN (SELECT DISTINCT batch_id, received_at FROM nexero.batch_repeats) r
       ON r.batch_id = b.batch_id AND r.received_at = e.received_at
WHERE e.lowest < 0 OR e.highest >= @positions
   OR (e.received_at <> b.received_at AND r.batch_id IS NULL AND b.written_at >= @forgotten)`},

		// Counted first and named afterwards: there can be as many as there are events.
		{"an event is in one place once", `
SELECT 'batch ' || coalesce(b.batch_id, 'no. ' || u.batch_no) || ' event ' || u.event_index,
       u.stored || ' times stored, ' || u.rejected || ' times rejected'
FROM (SELECT batch_no, event_index, count(*) FILTER (WHERE stored) AS stored, count(*) FILTER (WHERE NOT stored) AS rejected
      FROM (SELECT batch_no, event_index, true AS stored FROM nexero.events
            UNION ALL
            SELECT batch_no, event_index, false FROM nexero.rejected_events) everywhere
      GROUP BY batch_no, event_index
      HAVING count(*) > 1) u
LEFT JOIN (SELECT batch_no, min(batch_id::text) AS batch_id FROM nexero.batches GROUP BY batch_no) b USING (batch_no)`},

		{"rejections are kept", `
SELECT 'batch ' || coalesce(l.batch_id::text, 'no. ' || batch_no) || ' event ' || event_index,
       CASE WHEN l.code IS NULL THEN 'rejected_events has it as ' || r.code || ', the ledger does not'
            WHEN r.code IS NULL THEN 'the ledger has it as ' || l.code || ', rejected_events does not'
            ELSE 'the ledger says ' || l.code || ', rejected_events ' || r.code END
FROM (SELECT b.batch_id, b.batch_no, least(b.received_at, b.written_at) AS since, u.event_index, u.code
      FROM nexero.batches b, unnest(b.rejected_indexes, b.rejected_codes) AS u (event_index, code)) l
FULL JOIN nexero.rejected_events r USING (batch_no, event_index)
WHERE l.code IS DISTINCT FROM r.code
  AND NOT (r.code IS NULL AND l.since < @rejected_kept)`},

		{"events have their batch and session", `
SELECT 'events of batch no. ' || e.batch_no || ' and session no. ' || e.session_no,
       e.n || ' events ' || CASE WHEN b.batch_id IS NULL THEN 'without a batch'
                                 WHEN s.session_id IS NULL THEN 'without a session'
                                 ELSE 'of tenant ' || b.tenant_id || ' in a session of tenant ' || s.tenant_id END
FROM (SELECT batch_no, session_no, count(*) AS n, max(received_at) AS received_at
      FROM nexero.events GROUP BY batch_no, session_no) e
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN nexero.sessions s USING (session_no)
WHERE (b.batch_id IS NULL AND e.received_at >= @ledger_kept) OR s.session_id IS NULL OR b.tenant_id <> s.tenant_id`},

		{"reports have their batch and session", `
SELECT 'report of batch no. ' || r.batch_no,
       CASE WHEN b.batch_id IS NULL THEN 'without a batch'
            WHEN b.batch_id <> r.batch_id THEN 'under batch ' || r.batch_id || ', the ledger says ' || b.batch_id
            WHEN s.session_id IS NULL THEN 'without session no. ' || r.session_no
            ELSE 'of tenant ' || b.tenant_id || ' in a session of tenant ' || s.tenant_id END
FROM nexero.session_reports r
LEFT JOIN nexero.batches b USING (batch_no)
LEFT JOIN nexero.sessions s USING (session_no)
WHERE (b.batch_id IS NULL AND r.received_at >= @ledger_kept) OR b.batch_id <> r.batch_id
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

		{"repeats have their batch", `
SELECT 'repeat ' || r.receipt_id || ' of batch ' || r.batch_id, 'there is no such batch'
FROM nexero.batch_repeats r
LEFT JOIN nexero.batches b USING (batch_id)
WHERE b.batch_id IS NULL`},

		{"a batch has a number of its own", `
SELECT 'batch no. ' || batch_no, count(*) || ' batches have it'
FROM nexero.batches
GROUP BY batch_no
HAVING count(*) > 1`},

		{"no message is damaged", `
SELECT 'message ' || encode(digest, 'hex'), 'kept as damaged: ' || length(message) || ' bytes, ' || reason
FROM nexero.damaged_messages`},
	}
}
