package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

// tallies are numbers by what they count.
type tallies map[string]int64

// checkTruth compares sessions, events and two aggregates with what the
// simulator knows of the posts that are stored. Rows that PostgreSQL refused are
// in none of them, so with partial set only sessions are compared. gone are the
// events, by session and kind, that retention has given up; what was made of them
// stays.
func checkTruth(ctx context.Context, tx pgx.Tx, truth *sim.Truth, gone tallies, partial, mixed bool, found *findings) error {
	want, kinds := wanted(truth)
	for name, n := range gone {
		want["events of a session"][name] -= n
	}
	queries := map[string]string{"session": sessionsQuery}
	if !partial {
		maps.Copy(queries, map[string]string{"events of a session": eventsQuery, "rejected": rejectedQuery, "looks": looksQuery, "touches": touchesQuery})
	}
	if mixed {
		// Times within a session were shifted by different amounts.
		delete(queries, "looks")
		delete(queries, "touches")
	}
	for _, kind := range kinds {
		query, asked := queries[kind]
		if !asked {
			continue
		}
		got, err := tally(ctx, tx, query, kind != "looks" && kind != "touches" && kind != "rejected")
		if err != nil {
			return fmt.Errorf("count %s: %w", kind, err)
		}
		differ(kind, want[kind], got, found)
	}
	return nil
}

// wanted are the numbers that follow from the truth.
func wanted(truth *sim.Truth) (want map[string]tallies, kinds []string) {
	kinds = []string{"session", "events of a session", "rejected", "looks", "touches"}
	want = map[string]tallies{}
	for _, kind := range kinds {
		want[kind] = tallies{}
	}
	for i := range truth.Sessions {
		s := &truth.Sessions[i]
		want["session"][s.NormalID+"|"+s.Property+"|"+s.Customer+"|"+s.Device]++
		for kind, n := range s.Events {
			want["events of a session"][s.NormalID+"|"+kind] += int64(n)
		}
		for code, n := range s.Rejected {
			want["rejected"][code] += int64(n)
		}
		for _, look := range s.Looks {
			want["looks"][s.Property+"|"+look.Target+"|n"] += int64(look.Looks)
			want["looks"][s.Property+"|"+look.Target+"|ms"] += look.MS
		}
		for _, touch := range s.Interactions {
			want["touches"][s.Property+"|"+touch.Object+"|"+touch.Kind] += int64(touch.Times)
		}
	}
	return want, kinds
}

const (
	sessionsQuery = `
SELECT s.client_id, concat_ws('|', coalesce(f.property_id, ''), coalesce(f.customer_id, ''), coalesce(f.device, '')), 1::bigint
FROM nexero.sessions s JOIN nexero.session_facts f USING (session_no)`

	eventsQuery = `
SELECT s.client_id, t.name, count(*)
FROM nexero.events e JOIN nexero.sessions s USING (session_no) JOIN nexero.event_types t USING (event_type)
GROUP BY s.client_id, t.name`

	// What the edge has rejected and nobody could check says its reason in the
	// detail.
	rejectedQuery = `
SELECT '', c.code, count(*) FROM nexero.rejected_events r JOIN nexero.tenants t USING (tenant_id),
    LATERAL (SELECT CASE r.code WHEN 'too_old_to_check' THEN split_part(r.detail, ':', 1) ELSE r.code END) AS c (code)
WHERE r.form = 'sent' AND t.name <> 'hostile' GROUP BY c.code`

	looksQuery = `
SELECT '', concat_ws('|', property_id, object, 'n'), sum(looks)::bigint FROM rollup.gaze_targets_daily GROUP BY property_id, object
UNION ALL
SELECT '', concat_ws('|', property_id, object, 'ms'), sum(look_ms)::bigint FROM rollup.gaze_targets_daily GROUP BY property_id, object`

	touchesQuery = `
SELECT '', concat_ws('|', property_id, object, kind), sum(interactions)::bigint
FROM rollup.interactions_daily GROUP BY property_id, object, kind`
)

// tally reads rows of a session's id, a name and a number. bySession puts the
// id, in the form that all its spellings have in common, before the name.
func tally(ctx context.Context, tx pgx.Tx, query string, bySession bool) (tallies, error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	got := tallies{}
	var id, name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &n}, func() error {
		if bySession {
			normal, _ := event.NormaliseSessionID(id)
			name = normal + "|" + name
		}
		got[name] += n
		return nil
	})
	return got, err
}

// differ notes where two tallies differ; what is not there is 0.
func differ(kind string, want, got tallies, found *findings) {
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if want[name] != got[name] {
			found.add(kind, "%s: %d stored, %d true", strconv.Quote(name), got[name], want[name])
		}
	}
}

// exitStatus is the status of a program that ended by itself.
func exitStatus(err error) (int, bool) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, false
	}
	return exit.ExitCode(), true
}
