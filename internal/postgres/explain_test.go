package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// TestPlans_UseTheirIndexes keeps the statements of loads and
// roll-ups from reading tables as a whole. docs/explain.md is its output:
//
//	go test -run TestPlans -v ./internal/postgres
func TestPlans_UseTheirIndexes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.ensure(time.Now().AddDate(0, 0, -2))
	for _, sql := range []string{
		"INSERT INTO nexero.tenants (name) VALUES ('acme')",
		`INSERT INTO nexero.batches (batch_id, receipt_id, received_at, tenant_id, accepted, late, corrected, digest)
		 SELECT gen_random_uuid(), gen_random_uuid(), now(), 1, 0, 0, 0, '\x00' FROM generate_series(1, 16000)`,
		`INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id)
		 SELECT gen_random_uuid(), now() - n * interval '2 hours', 1, 'x' FROM generate_series(1, 5000) n`,
		`INSERT INTO nexero.events (batch_no, session_no, received_at, occurred_at, event_index, event_type, class)
		 SELECT n / 50, n / 50 % 200, now() - n % 3 * interval '1 day', now(), n % 50, 1, n % 2 FROM generate_series(1, 20000) n`,
		`INSERT INTO nexero.rejected_events (received_at, batch_no, tenant_id, event_index, code, form, payload)
		 SELECT now(), n, 1, 0, 'invalid_text', 'sent', '' FROM generate_series(1, 2000) n`,
		`INSERT INTO nexero.session_touches (session_no, batch_no, received_at)
		 SELECT n / 10, n, now() FROM generate_series(1, 20000) n`,
		`INSERT INTO nexero.session_facts (session_no, generation, tenant_id) SELECT n, 1, 1 FROM generate_series(1, 5000) n`,
		`INSERT INTO nexero.session_reports (batch_no, session_no, received_at, batch_id)
		 SELECT n, n, now(), gen_random_uuid() FROM generate_series(1, 5000) n`,
		"ANALYZE nexero.batches, nexero.sessions, nexero.events, nexero.session_touches, nexero.session_facts, nexero.session_reports",
	} {
		f.exec(sql)
	}
	one := event.NameUUID("one")
	ids, now, none := [][16]byte{one}, time.Now(), []*string{nil}
	for _, tt := range []struct {
		name, sql string
		arguments []any
	}{
		{"new ledger rows", postgres.InsertEntries, []any{
			ids, ids, [][]byte{one[:]}, []time.Time{now}, []int32{1}, []int{1}, []int{0}, []int{0}, none, none,
		}},
		{"known ledger rows", postgres.LockEntries, []any{ids}},
		{"new sessions", postgres.InsertSessions, []any{ids, []int32{1}, []string{"x"}, []time.Time{now}}},
		{"numbers of sessions", postgres.FindSessions, []any{ids}},
		{"rejections that a repeat replaces", postgres.DeleteReplaced, []any{[]int64{1}, []int{1}}},
		{"touched sessions", postgres.FindTouched, []any{int64(0), facts.Version, 100}},
		{"rows for facts", postgres.MakeFacts, []any{[]int64{5, 6}}},
		{"sessions to roll up", postgres.ClaimSessions, []any{[]int64{5, 6}, int16(1), facts.Version, false}},
		{"touches of claimed sessions", postgres.TakeTouches, []any{[]int64{5, 6}, 1000}},
		{"new events of sessions", postgres.ReadNewEvents, []any{
			[]int64{5, 5}, []int64{5, 205}, []time.Time{now, now}, now.Add(-time.Minute), now,
		}},
		{"all events of a session", postgres.ReadWholeSession, []any{int64(5), now.Add(-time.Hour), now, 1000}},
		{"reports of sessions", postgres.ReadReports, []any{[]int64{5, 6}}},
		{"old sessions that are locked for a load", postgres.LockSessions, []any{[]int64{5, 6}}},
		{"sessions to forget", postgres.FindForgettableSessions, []any{
			now.AddDate(0, 0, -396), facts.Version, []time.Time{now}, time.Time{}, int64(0), 2000,
		}},
		{"sessions to forget, once they are locked", postgres.LookAgain, []any{now.AddDate(0, 0, -396), facts.Version, []time.Time{now}, []int64{5, 6}}},
	} {
		plan := strings.Join(f.lines("EXPLAIN (COSTS OFF) "+tt.sql, tt.arguments...), "\n")
		t.Logf("%s\n%s", tt.name, plan)
		// The table of generations has a row or two.
		if strings.Contains(strings.ReplaceAll(plan, "Seq Scan on generations", ""), "Seq Scan") {
			t.Errorf("%s reads a table as a whole", tt.name)
		}
	}
}
