package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

const (
	// sessionPage is how many sessions are looked at together; each has a state
	// of some kilobytes.
	sessionPage = 500
	// eventPage is how many events of several sessions are read together, unless
	// a single session has more.
	eventPage = 100_000
)

// What can be wrong with a session.
const (
	stateCheck        = "facts are those of the raw rows"
	contributionCheck = "contributions are those of the facts"
	columnsCheck      = "columns are those of the facts"
)

// storedSession is a session as it is stored, and what its raw rows say.
type storedSession struct {
	number int64
	// tenant is that of its facts, with which it contributes.
	tenant  int32
	version int16
	// rolled says that facts were ever stored; there says that the session is.
	there, rolled, sealed, pathKept, touched bool
	state, contributions                     []byte
	shown                                    []*string
	visits                                   storedVisits

	count   int64
	events  []facts.Event
	reports []facts.Report
}

func (s *storedSession) row() string { return fmt.Sprintf("session no. %d", s.number) }

// checkSessions goes through all sessions, and through facts of sessions that
// are not there, since they have contributed too.
func (v *verifier) checkSessions(ctx context.Context) error {
	// One page's end is the next one's begin; after the last session there can
	// only be facts without one.
	const pageEnd = `
SELECT max(session_no), count(*) FROM (
    SELECT session_no FROM nexero.sessions WHERE session_no > $1 ORDER BY session_no LIMIT $2) page`
	after, seen := int64(math.MinInt64), int64(0)
	for {
		v.progress(Progress{"sessions", seen, v.found.Sessions})
		var end *int64
		var sessions int64
		if err := v.conn.QueryRow(ctx, pageEnd, after, sessionPage).Scan(&end, &sessions); err != nil {
			return err
		}
		to := int64(math.MaxInt64)
		if end != nil {
			to = *end
		}
		if err := v.checkPage(ctx, after, to); err != nil {
			return fmt.Errorf("after no. %d: %w", after, err)
		}
		if end == nil {
			return nil
		}
		after, seen = to, seen+sessions
	}
}

func (v *verifier) checkPage(ctx context.Context, after, to int64) error {
	page, err := v.readPage(ctx, after, to)
	if err != nil || len(page) == 0 {
		return err
	}
	byNumber := make(map[int64]*storedSession, len(page))
	for _, s := range page {
		byNumber[s.number] = s
	}
	if err := v.readReports(ctx, after, to, byNumber); err != nil {
		return err
	}
	if err := v.countEvents(ctx, after, to, byNumber); err != nil {
		return err
	}
	for len(page) > 0 {
		// Sessions in a row, as many as there is room for their events.
		n, total := 1, page[0].count
		for n < len(page) && total+page[n].count <= eventPage && !v.tooLong(page[n-1]) && !v.tooLong(page[n]) {
			total += page[n].count
			n++
		}
		if err := v.checkTogether(ctx, page[:n], byNumber); err != nil {
			return err
		}
		page = page[n:]
	}
	return nil
}

// checkTogether reads the events of neighbouring sessions and checks each.
func (v *verifier) checkTogether(ctx context.Context, sessions []*storedSession, byNumber map[int64]*storedSession) error {
	unread, err := v.readRaw(ctx, sessions, byNumber)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		v.checkSession(s, unread)
		contributed, err := facts.DecodeContributions(s.contributions)
		switch {
		case s.contributions == nil:
		case err != nil:
			v.differ(contributionCheck, s.row(), "cannot be read, so they are in no sum: %v", err)
		default:
			if err := v.sums.add(ctx, s.tenant, contributed); err != nil {
				return err
			}
		}
		*s = storedSession{number: s.number} // the page outlives it
	}
	return nil
}

const readStored = `
SELECT session_no, coalesce(f.tenant_id, s.tenant_id), s.session_no IS NOT NULL, coalesce(f.rolled_at IS NOT NULL, false), coalesce(f.facts_version, 0),
       coalesce(f.sealed, false), coalesce(f.path_kept, true), EXISTS (SELECT FROM nexero.session_touches t WHERE t.session_no = coalesce(s.session_no, f.session_no)),
       f.state, f.contributions, ` + shownColumns + `,
       f.visit_zones, f.visit_levels, f.visit_entered_at, f.visit_left_at, f.visit_dwell_ms, f.visit_closed_by
FROM (SELECT session_no, tenant_id FROM nexero.sessions WHERE session_no > $1 AND session_no <= $2) s
FULL JOIN (SELECT * FROM nexero.session_facts WHERE session_no > $1 AND session_no <= $2 AND generation = $3) f USING (session_no)
ORDER BY session_no`

func (v *verifier) readPage(ctx context.Context, after, to int64) ([]*storedSession, error) {
	rows, err := v.conn.Query(ctx, readStored, after, to, v.generation)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*storedSession, error) {
		s := &storedSession{}
		w := &s.visits
		err := row.Scan(&s.number, &s.tenant, &s.there, &s.rolled, &s.version, &s.sealed, &s.pathKept, &s.touched,
			&s.state, &s.contributions, &s.shown, &w.zones, &w.levels, &w.entered, &w.left, &w.dwell, &w.closedBy)
		return s, err
	})
}

// foldable says that the session's facts follow from its raw rows.
func (s *storedSession) foldable() bool { return s.there && !s.touched && !s.sealed }

func (v *verifier) readReports(ctx context.Context, after, to int64, byNumber map[int64]*storedSession) error {
	const query = `
SELECT session_no, received_at, batch_id, started_at, ended_at, coalesce(customer_id, ''), coalesce(property_id, ''), coalesce(device, '')
FROM nexero.session_reports
WHERE session_no > $1 AND session_no <= $2`
	rows, err := v.conn.Query(ctx, query, after, to)
	if err != nil {
		return err
	}
	return collectReports(rows, func(session int64, report facts.Report) {
		if s := byNumber[session]; s != nil && s.foldable() {
			s.reports = append(s.reports, report)
		}
	})
}

// countEvents makes the reads that follow bounded.
func (v *verifier) countEvents(ctx context.Context, after, to int64, byNumber map[int64]*storedSession) error {
	const query = `SELECT session_no, count(*) FROM nexero.events WHERE session_no > $1 AND session_no <= $2 GROUP BY session_no`
	rows, err := v.conn.Query(ctx, query, after, to)
	if err != nil {
		return err
	}
	var session, n int64
	_, err = pgx.ForEachRow(rows, []any{&session, &n}, func() error {
		if s := byNumber[session]; s != nil && s.foldable() {
			s.count = n
		}
		return nil
	})
	return err
}

// skipped is what was not read of a session: more events than can be folded.
type skipped struct {
	events      int64
	from, until event.Micros
}

// tooLong says that a session has more events than can be folded.
func (v *verifier) tooLong(s *storedSession) bool { return s.count > int64(v.store.mostFolded) }

// readRaw reads the events of neighbouring sessions. One that is too long is
// alone and read as a roll-up reads it.
func (v *verifier) readRaw(ctx context.Context, sessions []*storedSession, byNumber map[int64]*storedSession) (skipped, error) {
	first, last := sessions[0], sessions[len(sessions)-1]
	if v.tooLong(first) {
		claim := facts.Claim{SessionNo: first.number}
		err := readSession(ctx, v.conn, &claim, event.Earliest.Time(), event.Latest.Time(), v.store.mostFolded)
		first.events = claim.Events
		return skipped{claim.Unread, claim.UnreadFrom, claim.UnreadUntil}, err
	}
	total := int64(0)
	for _, s := range sessions {
		s.events = make([]facts.Event, 0, s.count)
		total += s.count
	}
	if total == 0 {
		return skipped{}, nil
	}
	rows, err := v.conn.Query(ctx, "SELECT "+foldedColumns+" FROM nexero.events e WHERE e.session_no BETWEEN $1 AND $2", first.number, last.number)
	if err != nil {
		return skipped{}, err
	}
	defer rows.Close()
	var r eventReader
	for rows.Next() {
		session, e := r.event(rows.RawValues())
		// Rows of sessions that are not looked at lie between.
		if s := byNumber[session]; s != nil && s.count > 0 {
			s.events = append(s.events, e)
		}
	}
	return skipped{}, rows.Err()
}

// checkSession follows the session from its raw rows to its state, and from
// there to what it has contributed and what is shown of it. Each is compared
// with what is stored of the one before, so that one mistake is one difference.
func (v *verifier) checkSession(s *storedSession, unread skipped) {
	var must *facts.State
	switch raw := len(s.events) + len(s.reports); {
	case !s.there:
		return // said before; there is nothing that its facts could be of
	case s.touched:
		v.found.Waiting++
		return
	case !s.rolled && raw > 0:
		v.differ(stateCheck, s.row(), "%d events and %d reports are in no facts, and no touch asks for them", int64(len(s.events))+unread.events, len(s.reports))
		return
	case !s.rolled:
		return // nothing was ever stored of it but its name
	case s.version != facts.Version && s.sealed:
		v.found.Sealed++
		return // nobody can fold it again; it has contributed what is stored
	case s.version != facts.Version:
		v.differ(stateCheck, s.row(), "folded by definitions %d, this program has %d", s.version, facts.Version)
		return
	case s.sealed:
		v.found.Sealed++
	default:
		v.found.Folded++
		must = facts.Of(s.events, s.reports)
		must.Skip(unread.events, unread.from, unread.until)
	}
	stored := v.checkState(s, must)
	if stored == nil {
		return
	}
	f := stored.Facts()
	v.found.Visits += int64(len(f.Visits))
	v.checkColumns(s, f)
	contributions := f.Contributions(v.properties[propertyKey{s.tenant, f.PropertyID}])
	if found := contributionDifference(s.contributions, contributions); found != "" {
		v.differ(contributionCheck, s.row(), "%s", found)
	}
}

// checkState compares the state with what it must be, if anything is left that
// says so, and returns one to compare everything else with.
func (v *verifier) checkState(s *storedSession, must *facts.State) *facts.State {
	if must != nil && bytes.Equal(s.state, must.Append(nil)) {
		return must
	}
	stored, err := facts.Decode(s.state)
	switch {
	case err == nil && must != nil:
		v.differ(stateCheck, s.row(), "%s", stateDifference(s.state, stored, must))
	case err == nil: // sealed: only its own word is left
	case errors.Is(err, facts.ErrVersion) || errors.Is(err, facts.ErrDamaged):
		v.differ(stateCheck, s.row(), "its state cannot be read: %v", err)
		return must
	}
	return stored
}

// contributionDifference says how stored contributions differ from what they
// must be, "" when they do not.
func contributionDifference(stored []byte, must facts.Contributions) string {
	if bytes.Equal(stored, must.Append(nil)) || stored == nil && len(must) == 0 {
		return ""
	}
	if stored == nil {
		return fmt.Sprintf("none are stored, there must be %d rows", len(must))
	}
	list, err := facts.DecodeContributions(stored)
	if err != nil {
		return "" // said where they are added up
	}
	return describeRows(list, must)
}

// storedVisits are the columns of the visits.
type storedVisits struct {
	zones         []string
	levels        []int16
	entered, left []time.Time
	dwell         []int64
	closedBy      []string
}
