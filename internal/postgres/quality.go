package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
)

// Measures of rollup.data_quality_daily. All count by the UTC day on which the
// batch was received, those of its repeats too: what came of a day's batches.
const (
	measureBatches   = "batches"
	measureReceived  = "received" // events: accepted + rejected
	measureAccepted  = "accepted"
	measureRejected  = "rejected" // events, by code
	measureBodies    = "bodies"   // rejected as a whole and no events: unreadable bodies, session reports; by code
	measureLate      = "late"
	measureCorrected = "corrected"
	measureRepeats   = "repeats"
)

// counts are what a ledger row says of its batch.
type counts struct {
	accepted, late, corrected int
	rejected                  map[int]event.Code // nil when empty
}

// quality is a row of nexero.quality_changes to be, but for its number.
type quality struct {
	tenant        int32
	day           day
	measure, code string
}

func (a quality) compare(b quality) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.day, b.day),
		strings.Compare(a.measure, b.measure), strings.Compare(a.code, b.code))
}

// qualityChanges returns what this load changes of the sums: for each ledger
// row what it says now less what it said before. It is asked when the rows will
// not change any more, since a repeat and a refusal take back what was counted.
func (l *load) qualityChanges() map[quality]int64 {
	changes := make(map[quality]int64)
	for _, e := range l.entries {
		of := quality{tenant: e.tenant, day: dayOf(event.MicrosOf(storableTime(e.receivedAt)))}
		if e.fresh {
			of.measure = measureBatches
			changes[of]++
		}
		if e.fresh || e.dirty {
			e.addTo(changes, of, 1)
			e.before.addTo(changes, of, -1)
		}
		if e.repeats > 0 {
			of.measure = measureRepeats
			changes[of] += int64(e.repeats)
		}
	}
	maps.DeleteFunc(changes, func(_ quality, n int64) bool { return n == 0 })
	return changes
}

// addTo adds sign times c to the measures of a tenant and day.
func (c *counts) addTo(changes map[quality]int64, of quality, sign int64) {
	add := func(measure string, code event.Code, n int) {
		of.measure, of.code = measure, storable(string(code))
		changes[of] += sign * int64(n)
	}
	events := c.accepted
	for index, code := range c.rejected {
		if index == wholeBody {
			add(measureBodies, code, 1)
			continue
		}
		add(measureRejected, code, 1)
		events++
	}
	add(measureReceived, "", events)
	add(measureAccepted, "", c.accepted)
	add(measureLate, "", c.late)
	add(measureCorrected, "", c.corrected)
}

const insertQuality = `
INSERT INTO nexero.quality_changes (tenant_id, day, measure, code, change)
SELECT * FROM unnest($1::integer[], $2::date[], $3::text[], $4::text[], $5::bigint[]) AS new (tenant_id, day, measure, code, change)`

// queueQuality appends the changes. It waits for nobody: adding to the sums
// themselves would make every load wait for the load before it.
func (l *load) queueQuality(batch *pgx.Batch) {
	changes := l.qualityChanges()
	n := len(changes)
	if n == 0 {
		return
	}
	tenants, days, numbers := make([]int32, 0, n), make([]time.Time, 0, n), make([]int64, 0, n)
	measures, codes := make([]string, 0, n), make([]string, 0, n)
	for _, q := range slices.SortedFunc(maps.Keys(changes), quality.compare) {
		tenants, days, numbers = append(tenants, q.tenant), append(days, q.day.start()), append(numbers, changes[q])
		measures, codes = append(measures, q.measure), append(codes, q.code)
	}
	batch.Queue(insertQuality, tenants, days, measures, codes, numbers).Exec(wantRows(n))
}

const (
	// qualityPortion is how many changes one transaction moves: some milliseconds.
	qualityPortion = 10_000
	// qualityPortions bounds one call; the next one goes on.
	qualityPortions = 50
)

// moveQualityChanges takes changes that nobody else is taking and adds them to
// the sums, in the order of the keys: whoever waits, waits in one direction. A
// portion's changes may come to less than nothing, since the rest of a load's
// may be in another one. It returns how many it took and which sums are 0 now.
const moveQualityChanges = `
WITH portion AS MATERIALIZED (
    SELECT ctid FROM nexero.quality_changes LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM nexero.quality_changes q USING portion p WHERE q.ctid = p.ctid
    RETURNING q.tenant_id, q.day, q.measure, q.code, q.change
), added AS (
    INSERT INTO rollup.data_quality_daily AS d (tenant_id, day, measure, code, n)
    SELECT tenant_id, day, measure, code, sum(change) FROM taken
    GROUP BY tenant_id, day, measure, code
    HAVING sum(change) <> 0
    ORDER BY tenant_id, day, measure, code
    ON CONFLICT (tenant_id, day, measure, code) DO UPDATE SET n = d.n + excluded.n
    RETURNING d.tenant_id, d.day, d.measure, d.code, d.n
)
SELECT (SELECT count(*) FROM taken), array_agg(tenant_id), array_agg(day), array_agg(measure), array_agg(code)
FROM added WHERE n = 0`

// deleteEmptyQuality names rows that this transaction has just written.
const deleteEmptyQuality = `
DELETE FROM rollup.data_quality_daily d
USING unnest($1::integer[], $2::date[], $3::text[], $4::text[]) AS gone (tenant_id, day, measure, code)
WHERE d.tenant_id = gone.tenant_id AND d.day = gone.day AND d.measure = gone.measure AND d.code = gone.code AND d.n = 0`

// moveQuality moves what loads have appended into the sums. Each change is moved
// once, whoever calls it at the same time: it is deleted in the transaction that
// adds it.
func (s *Store) moveQuality(ctx context.Context) error {
	for range qualityPortions {
		var taken int64
		err := s.inTransaction(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
			taken, err = movePortion(ctx, conn)
			return err
		})
		if err == nil && taken > 0 {
			crashpoint.At(crashpoint.QualityCommitted)
		}
		if err != nil || taken < qualityPortion {
			return err
		}
	}
	return nil
}

func movePortion(ctx context.Context, conn *pgx.Conn) (taken int64, err error) {
	var tenants []int32
	var days []time.Time
	var measures, codes []string
	var batch pgx.Batch
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	batch.Queue(moveQualityChanges, qualityPortion).QueryRow(func(row pgx.Row) error {
		return row.Scan(&taken, &tenants, &days, &measures, &codes)
	})
	err = conn.SendBatch(ctx, &batch).Close()
	if taken > 0 {
		crashpoint.At(crashpoint.QualityMoved)
	}
	if err != nil || len(tenants) == 0 {
		return taken, err
	}
	_, err = conn.Exec(ctx, deleteEmptyQuality, tenants, days, measures, codes)
	return taken, err
}

// qualityCheck returns one row for each number of data quality that is not what
// ledger and repeats say: what stands in rollup.data_quality_daily and what
// still waits in nexero.quality_changes, together. @ledger_kept is the first
// instant of a day from which on no ledger row has been deleted.
const qualityCheck = `
SELECT 'tenant ' || tenant_id || ' on ' || day || ': ' || measure || CASE code WHEN '' THEN '' ELSE ' ' || code END,
       CASE WHEN coalesce(counted.n, 0) = coalesce(ledger.n, 0) THEN 'a sum of 0 was not deleted'
            ELSE 'counted ' || coalesce(counted.n, 0) || ', the ledger says ' || coalesce(ledger.n, 0) END
FROM (` + ledgerQuality + `) ledger
FULL JOIN (
    SELECT tenant_id, day, measure, code, sum(n) AS n, bool_or(empty) AS empty
    FROM (SELECT tenant_id, day, measure, code, n, n = 0 AS empty FROM rollup.data_quality_daily
          UNION ALL
          SELECT tenant_id, day, measure, code, change, false FROM nexero.quality_changes) each
    GROUP BY tenant_id, day, measure, code
) counted USING (tenant_id, day, measure, code)
WHERE day >= (@ledger_kept::timestamptz AT TIME ZONE 'UTC')::date
  AND (coalesce(counted.n, 0) <> coalesce(ledger.n, 0) OR counted.empty)`

// ledgerQuality counts the ledger anew. The migration that made the sums began
// with the same, when there were no replays.
const ledgerQuality = `
    SELECT tenant_id, day, measure, code, sum(n) AS n
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
          FROM nexero.batch_repeats r JOIN nexero.batches b USING (batch_id) WHERE NOT r.replayed) each
    GROUP BY tenant_id, day, measure, code
    HAVING sum(n) <> 0`
