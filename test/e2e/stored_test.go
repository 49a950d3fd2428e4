package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/sim"
)

// stored is what the database holds of one session.
type stored struct {
	seen

	device string
	// shiftMS places the session in the calendar: the median of what the edge
	// added to the times of its events. startShiftMS and endShiftMS are what it
	// added to the declared ones.
	shiftMS, startShiftMS, endShiftMS int64

	visits []stay
	events []told
}

// stay is a visit as analysts see it.
type stay struct {
	Zone                       string
	Level                      int16
	EnteredMS, LeftMS, DwellMS int64
	ClosedBy                   string
}

// told is an event at the client's own time.
type told struct {
	atMS, lengthMS int64
	kind           string
}

// readStored reads all sessions by their normal id.
func readStored(t *testing.T, db *pgx.Conn) map[string]*stored {
	t.Helper()
	all := map[string]*stored{}
	for id, s := range readSessions(t, db) {
		all[normalID(id)] = &stored{seen: s}
	}
	var id string
	var s stored
	forEach(t, db, `
		SELECT s.client_id, coalesce(f.device, ''),
		       coalesce((SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY coalesce(e.clock_shift_ms, 0))
		                 FROM nexero.events e WHERE e.session_no = s.session_no), 0),
		       coalesce((SELECT r.clock_shift_ms FROM nexero.session_reports r WHERE r.session_no = s.session_no AND r.started_at IS NOT NULL
		                 ORDER BY r.received_at DESC, r.batch_id DESC LIMIT 1), 0),
		       coalesce((SELECT r.clock_shift_ms FROM nexero.session_reports r WHERE r.session_no = s.session_no AND r.ended_at IS NOT NULL
		                 ORDER BY r.received_at DESC, r.batch_id DESC LIMIT 1), 0)
		FROM nexero.sessions s JOIN nexero.session_facts f USING (session_no)`,
		[]any{&id, &s.device, &s.shiftMS, &s.startShiftMS, &s.endShiftMS}, func() {
			got := all[normalID(id)]
			got.device, got.shiftMS, got.startShiftMS, got.endShiftMS = s.device, s.shiftMS, s.startShiftMS, s.endShiftMS
		})
	var visit stay
	forEach(t, db, `
		SELECT session, zone, level, (extract(epoch FROM entered_at) * 1000)::bigint, (extract(epoch FROM left_at) * 1000)::bigint,
		       (dwell_s * 1000)::bigint, closed_by
		FROM analytics.zone_visits ORDER BY session, visit`,
		[]any{&id, &visit.Zone, &visit.Level, &visit.EnteredMS, &visit.LeftMS, &visit.DwellMS, &visit.ClosedBy}, func() {
			got := all[normalID(id)]
			got.visits = append(got.visits, visit)
		})
	var event told
	forEach(t, db, `
		SELECT s.client_id, floor(extract(epoch FROM c.at) * 1000)::bigint,
		       CASE WHEN t.name IN ('gaze', 'fixation') THEN greatest(0, coalesce(e.duration_ms, 0)) ELSE 0 END::bigint, t.name
		FROM nexero.events e JOIN nexero.sessions s USING (session_no) JOIN nexero.event_types t USING (event_type),
		     LATERAL (SELECT e.occurred_at - coalesce(e.clock_shift_ms, 0) * interval '1 ms') AS c (at)
		ORDER BY s.session_no, c.at, e.client_seq NULLS FIRST, e.received_at, e.batch_no, e.event_index`,
		[]any{&id, &event.atMS, &event.lengthMS, &event.kind}, func() {
			got := all[normalID(id)]
			got.events = append(got.events, event)
		})
	return all
}

func forEach(t *testing.T, db *pgx.Conn, query string, into []any, do func()) {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	if _, err := pgx.ForEachRow(rows, into, func() error { do(); return nil }); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
}

// check compares a session with the truth of it.
func (got *stored) check(t *testing.T, s *sim.Session) {
	t.Helper()
	byType := map[string]int{}
	for _, e := range got.events {
		byType[e.kind]++
	}
	if diff := cmp.Diff(s.Events, byType); diff != "" {
		t.Errorf("session %s: events (-truth +stored):\n%s", s.NormalID, diff)
	}
	idle := got.idleness(s)
	from, to := got.period(s)
	want := seen{
		Property: s.Property, Customer: s.Customer,
		StartMS: from + got.shiftMS, EndMS: s.LastMS + got.shiftMS,
		DurationMS: to - from, ActiveMS: to - from - idle.within(from, to), Events: int64(s.Accepted),
		Zones: got.Zones, Status: "active",
	}
	zones := map[string]bool{}
	for _, v := range s.Visits {
		zones[v.Zone] = true
	}
	want.Zones = int64(len(zones))
	if s.EndMS != 0 {
		want.EndMS = s.EndMS + got.endShiftMS
	}
	if s.EndMS != 0 || s.Events["session_end"] > 0 {
		want.Status = "completed"
	}
	if diff := cmp.Diff(want, got.seen); diff != "" || got.device != s.Device {
		t.Errorf("session %s on a %q, want a %q (-truth +stored):\n%s", s.NormalID, got.device, s.Device, diff)
	}
	if diff := cmp.Diff(got.stays(s), got.visits); diff != "" {
		t.Errorf("session %s: visits (-truth +stored):\n%s", s.NormalID, diff)
	}
}

// period is the session's at the client's time, which the shifts of declared
// times and of events can move against each other.
func (got *stored) period(s *sim.Session) (from, to int64) {
	from, to = s.FirstMS, s.LastMS
	if s.StartMS != 0 {
		from = s.StartMS + got.startShiftMS - got.shiftMS
	}
	if s.EndMS != 0 {
		to = s.EndMS + got.endShiftMS - got.shiftMS
	}
	return from, min(max(from, to), from+24*60*60*1000)
}

// stays are the visits that have to be seen.
func (got *stored) stays(s *sim.Session) []stay {
	idle := got.idleness(s)
	_, to := got.period(s)
	var all []stay
	for _, v := range s.Visits {
		left := v.LeftMS
		if v.ClosedBy == "session_end" {
			left = max(v.EnteredMS, to)
		}
		all = append(all, stay{
			v.Zone, v.Level, v.EnteredMS + got.shiftMS, left + got.shiftMS,
			left - v.EnteredMS - idle.within(v.EnteredMS, left), v.ClosedBy,
		})
	}
	return all
}

// timeline says of each millisecond from a first one whether the visitor was
// idle.
type timeline struct {
	fromMS int64
	idle   []bool
}

func (l *timeline) mark(from, to int64) {
	for at := from; at < to; at++ {
		l.idle[at-l.fromMS] = true
	}
}

func (l *timeline) within(from, to int64) int64 {
	var ms int64
	for at := max(from, l.fromMS); at < min(to, l.fromMS+int64(len(l.idle))); at++ {
		ms += oneIf(l.idle[at-l.fromMS])
	}
	return ms
}

// idleness marks when nothing happened for more than a minute, and what lies
// between idle_start and the next idle_end or zone event.
func (got *stored) idleness(s *sim.Session) *timeline {
	if len(got.events) == 0 {
		return &timeline{}
	}
	from, to := got.period(s)
	alive := slices.Clone(got.events)
	if s.StartMS != 0 {
		alive = append(alive, told{atMS: from})
	}
	if s.EndMS != 0 {
		alive = append(alive, told{atMS: to})
	}
	slices.SortStableFunc(alive, func(a, b told) int { return int(a.atMS - b.atMS) })
	last := max(to, alive[len(alive)-1].atMS)
	line := &timeline{fromMS: min(from, alive[0].atMS)}
	line.idle = make([]bool, last-line.fromMS)
	until := alive[0].atMS
	for _, sign := range alive {
		if sign.atMS-until > 60_000 {
			line.mark(until, sign.atMS)
		}
		until = max(until, sign.atMS+sign.lengthMS)
	}
	since := int64(0) // 0: not idle
	for _, e := range got.events {
		switch e.kind {
		case "idle_start":
			if since == 0 {
				since = e.atMS
			}
		case "idle_end", "zone_enter", "zone_exit":
			if since != 0 {
				line.mark(since, e.atMS)
			}
			since = 0
		}
	}
	if since != 0 {
		line.mark(since, last)
	}
	return line
}

// contribute adds what the truth of the session adds to the aggregates. Looks
// and interactions are summed over days and zones.
func (got *stored) contribute(all tables, s *sim.Session) {
	for _, look := range s.Looks {
		all.add("gaze_targets_daily", s.Property+"|"+look.Target, int64(look.Looks), look.MS)
	}
	for _, touch := range s.Interactions {
		all.add("interactions_daily", s.Property+"|"+touch.Object+"|"+touch.Kind, int64(touch.Times))
	}
	own := tables{}
	visits := got.stays(s)
	exit, seen, from := 0, map[string]int{}, ""
	for i, v := range visits {
		on := s.Property + "|" + day(v.EnteredMS) + "|"
		seen[v.Zone]++
		own.add("zones_daily", on+v.Zone, append([]int64{
			1, 1, v.DwellMS, oneIf(v.LeftMS-v.EnteredMS < 1000), oneIf(seen[v.Zone] == 2), oneIf(i == 0), 0, 0,
		}, histogram(v.DwellMS)...)...)
		if v.LeftMS >= visits[exit].LeftMS {
			exit = i
		}
		if v.Zone != from {
			own.add("zone_transitions_daily", on+from+"|"+v.Zone, 1, 1)
		}
		if from = v.Zone; i == len(visits)-1 {
			own.add("zone_transitions_daily", on+from+"|", 1, 1)
		}
	}
	if len(visits) > 0 {
		key := func(v stay) string { return s.Property + "|" + day(v.EnteredMS) + "|" + v.Zone }
		own["zones_daily"][key(visits[exit])][6]++
		own["zones_daily"][key(visits[0])][7] += oneIf(len(seen) == 1)
	}
	for table, rows := range maps.All(own) {
		for key, row := range rows {
			row[0] = 1 // one session, however often it was here
			all.add(table, key, row...)
		}
	}
}
