package postgres_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// row returns the event at a position among a sealed batch's rows, which are
// the envelope's own memory: a test spoils them in place, behind the back of
// the checks that an envelope makes.
func row(t testing.TB, b envelope.Batch, position int) envelope.Row {
	t.Helper()
	for r := range b.Rows() {
		if position == 0 {
			return r
		}
		position--
	}
	t.Fatal("no such row")
	return nil
}

// change replaces the only occurrence of old in r by as many bytes.
func change(t testing.TB, r envelope.Row, old, by string) {
	t.Helper()
	if len(old) != len(by) || bytes.Count(r, []byte(old)) != 1 {
		t.Fatalf("cannot change %q to %q", old, by)
	}
	copy(r[bytes.Index(r, []byte(old)):], by)
}

// Offsets of a row's leading columns.
const (
	receivedAtOffset = 30
	classOffset      = 54
	occurredAtOffset = 60
)

// spoilt is an event whose row can be spoilt everywhere.
func spoilt(index int) event.Event {
	return event.Event{
		Index: index, Type: event.Interaction, Has: event.FieldDuration | event.FieldLevel, DurationMS: 0x01020304, Level: 0x0506,
		Zone: "ZONE", Props: `{"k":"VALUES"}`,
	}
}

// rule 7
func TestLoad_RefusedRowCostsItselfOnly(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL')")
	for _, tt := range []struct {
		name          string
		old, by       string
		spoil         func(r envelope.Row)
		state, column string
	}{
		{"NUL in text", "ZONE", "ZO\x00E", nil, "22021", "zone"},
		{"text is no UTF-8", "ZONE", "ZO\xffE", nil, "22021", "zone"},
		{"NUL in props", "VALUES", `\u0000`, nil, "22P05", "props"},
		{"lone surrogate in props", "VALUES", `\ud800`, nil, "22P02", "props"},
		{"props are no JSON", "VALUES", `"a":"c`, nil, "22P02", "props"},
		{"NUL byte in props", "VALUES", "VAL\x00ES", nil, "22021", "props"},
		{"props quote a COPY error", `{"k":"VALUES"}`, `COPY z, line 1`, nil, "22P02", "props"},
		{"jsonb of another version", "\x01{", "\x09{", nil, "XX000", "props"},
		{
			"field too short", "\x00\x00\x00\x04\x01\x02\x03\x04\x00\x00\x00\x02\x05\x06",
			"\x00\x00\x00\x02\x01\x02\x00\x00\x00\x04\x03\x04\x05\x06", nil, "08P01", "duration_ms",
		},
		{"constraint", "ZONE", "EVIL", nil, "23514", ""},
		{"time out of range", "", "", func(r envelope.Row) {
			binary.BigEndian.PutUint64(r[occurredAtOffset:], 1<<63-2)
		}, "22008", "occurred_at"},
		{"unknown class", "", "", func(r envelope.Row) { r[classOffset+1] = 7 }, "23514", ""},
		{"another day of receipt", "", "", func(r envelope.Row) { r[receivedAtOffset] = 1 }, "23514", ""},
	} {
		f.begin(tt.name)
		bad := batch("bad").with(spoilt(0), spoilt(1), spoilt(2)).seal(t)
		if tt.spoil != nil {
			tt.spoil(row(t, bad, 1))
		} else {
			change(t, row(t, bad, 1), tt.old, tt.by)
		}
		f.wantLoad(postgres.LoadResult{Batches: 3, Rows: 6, Refused: 1},
			batch("before").poses(0, 1).seal(t), bad, batch("after").poses(0, 1).seal(t))
		f.want("SELECT event_index, code, coalesce(field, ''), form, detail LIKE 'PostgreSQL: % (SQLSTATE "+tt.state+")' FROM nexero.rejected_events",
			fmt.Sprintf("1 refused_by_database %s row1 true", tt.column))
		f.want("SELECT accepted, rejected_indexes::text FROM nexero.batches ORDER BY rejected_indexes NULLS FIRST", "2 <nil>", "2 <nil>", "2 {1}")
		f.want("SELECT count(*) FROM nexero.rejected_events r WHERE payload = $$"+fmt.Sprintf(`\x%x`, []byte(row(t, bad, 1)))+"$$", "1")
		f.wantExact()
		// It waits for an operator, whatever the client repeats.
		f.wantLoad(postgres.LoadResult{Redelivered: 1}, bad)
		f.wantLoad(postgres.LoadResult{Repeats: 1}, batch("bad").again("r").with(spoilt(0), spoilt(1), spoilt(2)).seal(t))
	}
}

// rule 7
func TestLoad_ManyRefusedRows(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const batches, rows = 4, 12
	for _, tt := range []struct {
		name string
		bad  func(batch, row int) bool
	}{
		{"as many as are named", func(b, r int) bool { return b == r && b < 3 }},
		{"one more", func(b, r int) bool { return b == r }},
		{"all of one batch", func(b, _ int) bool { return b == 2 }},
		{"the last rows", func(_, r int) bool { return r == rows-1 }},
		{"five of each batch", func(_, r int) bool { return r%2 == 0 && r < 10 }},
		{"all", func(int, int) bool { return true }},
	} {
		f.begin(tt.name)
		var gather []envelope.Batch
		want := postgres.LoadResult{Batches: batches}
		for b := range batches {
			made := batch(strconv.Itoa(b))
			for r := range rows {
				made.with(spoilt(r))
			}
			sealed := made.seal(t)
			for r := range rows {
				if tt.bad(b, r) {
					change(t, row(t, sealed, r), "ZONE", "ZO\x00E")
					want.Refused++
				} else {
					want.Rows++
				}
			}
			gather = append(gather, sealed)
		}
		f.wantLoad(want, gather...)
		f.want("SELECT count(*) FROM nexero.rejected_events WHERE code = 'refused_by_database'", strconv.Itoa(want.Refused))
		f.wantExact()
	}
}

// rule 7
func TestLoad_RefusedRowOfARepeat(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).rejected(event.InvalidNumber, 1, 2).seal(t))
	again := batch("a").again("r").poses(0).with(spoilt(1), spoilt(2)).seal(t)
	change(t, row(t, again, 1), "ZONE", "\x00\x00\x00\x00")
	f.wantLoad(postgres.LoadResult{Repeats: 1, Rows: 1, Added: 1, Refused: 1}, again)
	f.want(storedLedger, "2 0 0 {1} {refused_by_database}")
	f.want(storedRejected, "1 refused_by_database row1")
	f.wantExact()
}

func TestLoad_RefusedRowsAreNotCountedAsLate(t *testing.T) {
	t.Parallel()
	f := setup(t)
	late := spoilt(0)
	late.OccurredAt, late.ClockShiftMS = event.MicrosOf(received.AddDate(0, 0, -3)), 5
	other := late
	other.Index = 1
	b := batch("a").with(late, other).poses(2).seal(t)
	change(t, row(t, b, 0), "ZONE", "ZO\x00E")
	f.load(b)
	f.want(storedLedger, "2 1 1 {0} {refused_by_database}")
}

// rule 7
func TestLoad_PropsTooDeep(t *testing.T) {
	t.Parallel()
	f := setup(t)
	deep := event.Event{Index: 1, Type: event.Turn, Props: strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)}
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 2, Refused: 1}, batch("a").poses(0).with(deep).poses(2).seal(t))
	f.want("SELECT detail LIKE '%54001%' FROM nexero.rejected_events", "true")
}

func TestLoad_RowsLargerThanTheBuffer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a")
	want := []string{}
	for i := range 40 {
		size := 1 << (i % 20) // up to half a megabyte
		b.with(event.Event{Index: i, Type: event.Turn, Props: `"` + strings.Repeat("x", size) + `"`})
		want = append(want, strconv.Itoa(size+2))
	}
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 40}, b.seal(t))
	f.want("SELECT length(props::text) FROM nexero.events ORDER BY event_index", want...)
}
