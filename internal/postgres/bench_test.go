package postgres_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// mix is a kind of tour: what its n-th event is.
type mix struct {
	name  string
	event func(n int, at event.Micros) event.Event
}

var mixes = []mix{
	{"pose", pose},
	{"pose-with-zone", func(n int, at event.Micros) event.Event {
		e := pose(n, at)
		e.Zone, e.Level, e.Seq, e.Has = "living_room", 1, int64(n), e.Has|event.FieldLevel|event.FieldSeq
		return e
	}},
	{"realistic", realistic},
}

func pose(n int, at event.Micros) event.Event {
	angle := float32(n%3600) / 10
	return event.Event{
		Type: event.Pose, OccurredAt: at,
		Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldPitch | event.FieldYaw | event.FieldRoll,
		X:   100 + angle, Y: -20 - angle, Z: 165, Pitch: angle / 7, Yaw: angle - 180, Roll: angle / 90,
	}
}

// realistic is a tour at 10 Hz with a look a second, rooms, and now and then a
// touch with what the client adds to it.
func realistic(n int, at event.Micros) event.Event {
	zone := "room_" + strconv.Itoa(n/200%6)
	switch {
	case n%200 == 0:
		return event.Event{Type: event.ZoneEnter, OccurredAt: at, Zone: zone}
	case n%200 == 199:
		return event.Event{Type: event.ZoneExit, OccurredAt: at, Zone: zone, Has: event.FieldDuration, DurationMS: 20_000}
	case n%50 == 25:
		return event.Event{
			Type: event.Interaction, OccurredAt: at, Zone: zone, Object: "SM_KitchenDoor_02", Action: "grab",
			Props: `{"hand":"right","strength":0.75}`,
		}
	case n%10 == 5:
		return event.Event{
			Type: event.Gaze, OccurredAt: at, Target: "SM_Sofa_" + strconv.Itoa(n%7), Has: event.FieldDuration, DurationMS: int32(n % 900),
		}
	}
	return pose(n, at)
}

// tours makes batches of 500 events in turn for so many sessions, as headsets
// that post at the same time do.
func tours(t testing.TB, m mix, run, batches, sessions int) []envelope.Batch {
	t.Helper()
	const events = 500
	made := make([]envelope.Batch, batches)
	for i := range made {
		b := batch(fmt.Sprint(m.name, run, "-", i))
		client := fmt.Sprint(m.name, run, "-session-", i%sessions)
		b.Sessions[0] = event.Session{Key: event.SessionKey("acme", client), ClientID: client}
		for n := range events {
			e := m.event(i*events+n, b.ReceivedAt-event.Micros((events-n)*100_000))
			e.Index = n
			b.Events = append(b.Events, e)
		}
		made[i] = b.seal(t)
	}
	return made
}

// bytesPerEvent is what an event takes, and how much of it is the index.
func (f *fixture) bytesPerEvent() (all, index float64) {
	f.Helper()
	const query = `
SELECT sum(pg_total_relation_size(inhrelid))::float8 / (SELECT count(*) FROM nexero.events),
       sum(pg_indexes_size(inhrelid))::float8 / (SELECT count(*) FROM nexero.events)
FROM pg_inherits WHERE inhparent IN ('nexero.events_pose'::regclass, 'nexero.events_other'::regclass)
  AND pg_relation_size(inhrelid) > 0`
	if err := f.db.QueryRow(f.Context(), query).Scan(&all, &index); err != nil {
		f.Fatal(err)
	}
	return all, index
}

func TestLoad_AnEventFitsItsBytes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, m := range mixes {
		f.begin(m.name)
		f.exec("TRUNCATE nexero.events")
		for gather := range 4 {
			f.load(tours(t, m, gather, 10, 10)...)
		}
		all, index := f.bytesPerEvent()
		t.Logf("%s: %.1f bytes an event, %.1f of them the index", m.name, all, index)
		if all > 150 {
			t.Errorf("%s: an event takes more than 150 bytes", m.name)
		}
	}
}

// processTime is what this process has worked.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func report(b *testing.B, events int, before time.Duration) {
	b.Helper()
	total := float64(events) * float64(b.N)
	b.ReportMetric(total/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/total, "cpu-ns/event")
}

// BenchmarkLoad loads gathers of 20 batches of 500 events from 10 sessions.
func BenchmarkLoad(b *testing.B) {
	for _, m := range mixes {
		b.Run(m.name, func(b *testing.B) {
			f := setup(b)
			b.ReportAllocs()
			before, run := time.Duration(0), 0
			for b.Loop() {
				b.StopTimer()
				gather := tours(b, m, run, 20, 10)
				run++
				used := processTime(b)
				b.StartTimer()
				f.load(gather...)
				before += processTime(b) - used
			}
			report(b, 20*500, processTime(b)-before)
			all, index := f.bytesPerEvent()
			b.ReportMetric(all, "bytes/event")
			b.ReportMetric(index, "index-bytes/event")
		})
	}
}

// BenchmarkLoad_Tiny loads one batch of one event of a known session.
func BenchmarkLoad_Tiny(b *testing.B) {
	f := setup(b)
	run := 0
	for b.Loop() {
		b.StopTimer()
		small := batch("tiny").poses(0)
		small.ID = id("tiny", run)
		run++
		gather := small.seal(b)
		b.StartTimer()
		f.load(gather)
	}
}

// BenchmarkCopy compares the two ways to COPY 10,000 events, without the rest
// of a load.
func BenchmarkCopy(b *testing.B) {
	f := setup(b)
	f.ensure(time.Time{})
	for _, m := range mixes {
		var rows []envelope.Row
		var events []event.Event
		for _, made := range tours(b, m, 0, 20, 10) {
			for row := range made.Rows() {
				decoded, err := row.Event()
				if err != nil {
					b.Fatal(err)
				}
				rows, events = append(rows, row), append(events, decoded)
			}
		}
		for name, send := range map[string]func(context.Context, *pgx.Conn) error{
			"raw": func(ctx context.Context, conn *pgx.Conn) error {
				const sql = "COPY nexero.events (" + envelope.Columns + ") FROM STDIN (FORMAT binary)"
				_, err := conn.PgConn().CopyFrom(ctx, &rawRows{rows: rows, rest: []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")}, sql)
				return err
			},
			"pgx": func(ctx context.Context, conn *pgx.Conn) error {
				source := &boxedEvents{events: events, values: make([]any, 23)}
				_, err := conn.CopyFrom(ctx, pgx.Identifier{"nexero", "events"}, strings.Split(envelope.Columns, ", "), source)
				return err
			},
		} {
			b.Run(m.name+"/"+name, func(b *testing.B) {
				conn, err := pgx.Connect(b.Context(), f.url)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close(context.WithoutCancel(b.Context()))
				b.ReportAllocs()
				before := processTime(b)
				for b.Loop() {
					if _, err := conn.Exec(b.Context(), "TRUNCATE nexero.events"); err != nil {
						b.Fatal(err)
					}
					if err := send(b.Context(), conn); err != nil {
						b.Fatal(err)
					}
				}
				report(b, len(rows), before)
			})
		}
	}
}

// rawRows is what a load sends, with fixed numbers.
type rawRows struct {
	rows []envelope.Row
	rest []byte
}

func (r *rawRows) Read(p []byte) (int, error) {
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	for len(r.rows) > 0 && len(r.rows[0]) <= len(p)-n {
		n = len(r.rows[0].AppendTo(p[:n], 1, 1))
		r.rows = r.rows[1:]
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// boxedEvents is what pgx.CopyFrom wants: every value in an interface.
type boxedEvents struct {
	events []event.Event
	next   int
	values []any
}

func (s *boxedEvents) Next() bool {
	s.next++
	return s.next <= len(s.events)
}

func (s *boxedEvents) Err() error { return nil }

func (s *boxedEvents) Values() ([]any, error) {
	e := &s.events[s.next-1]
	optional := func(field event.Fields, value any) any {
		if e.Has&field == 0 {
			return nil
		}
		return value
	}
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	shift := any(nil)
	if e.ClockShiftMS != 0 {
		shift = e.ClockShiftMS
	}
	return append(s.values[:0], int64(1), int64(1), received, int16(e.Index), int16(e.Type), int16(e.Class()), e.OccurredAt.Time(),
		shift, optional(event.FieldSeq, e.Seq), optional(event.FieldX, e.X), optional(event.FieldY, e.Y), optional(event.FieldZ, e.Z),
		optional(event.FieldPitch, e.Pitch), optional(event.FieldYaw, e.Yaw), optional(event.FieldRoll, e.Roll),
		optional(event.FieldDuration, e.DurationMS), optional(event.FieldLevel, e.Level),
		text(e.Zone), text(e.Object), text(e.Target), text(e.Action), text(e.Name), text(e.Props)), nil
}
