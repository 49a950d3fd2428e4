package postgres

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// mostNamed is how many things a sentence about one row names.
const mostNamed = 3

// sentence joins what was found; what is more than mostNamed is counted.
func sentence(found []string) string {
	if more := len(found) - mostNamed; more > 0 {
		return strings.Join(found[:mostNamed], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(found, "; ")
}

// isMust says by how much a value is not what it must be.
func isMust(name, is, must string) string {
	if is == must {
		return ""
	}
	return fmt.Sprintf("%s is %s, must be %s", name, is, must)
}

// stateDifference says how the facts of two states differ. They are equal for
// states that differ in what only matters to later events.
func stateDifference(bytesStored []byte, stored, must *facts.State) string {
	if found := factsDifference(stored.Facts(), must.Facts()); len(found) > 0 {
		return sentence(found)
	}
	right := must.Append(nil)
	at := 0
	for at < min(len(right), len(bytesStored)) && right[at] == bytesStored[at] {
		at++
	}
	if bytes.Equal(right, stored.Append(nil)) {
		return fmt.Sprintf("its state is written in another way from byte %d on", at)
	}
	return fmt.Sprintf("no fact differs, but its state does from byte %d on: later events would be folded onto another past", at)
}

// factsDifference goes through all fields, so that a new one is never left out.
func factsDifference(stored, must *facts.Facts) []string {
	var found []string
	is, right := reflect.ValueOf(*stored), reflect.ValueOf(*must)
	for i := range is.NumField() {
		name := columnName(is.Type().Field(i).Name)
		a, b := is.Field(i), right.Field(i)
		if a.Kind() != reflect.Slice {
			if said := isMust(name, text(a), text(b)); said != "" {
				found = append(found, said)
			}
			continue
		}
		if a.Len() != b.Len() {
			found = append(found, isMust("number of "+name, strconv.Itoa(a.Len()), strconv.Itoa(b.Len())))
		}
		for j := range min(a.Len(), b.Len()) {
			if said := itemDifference(a.Index(j), b.Index(j)); said != "" {
				found = append(found, fmt.Sprintf("of %s no. %d %s", name, j+1, said))
				break // what follows differs because of it
			}
		}
	}
	return found
}

func itemDifference(is, must reflect.Value) string {
	var found []string
	for i := range is.NumField() {
		if said := isMust(columnName(is.Type().Field(i).Name), text(is.Field(i)), text(must.Field(i))); said != "" {
			found = append(found, said)
		}
	}
	return strings.Join(found, ", ")
}

// text is a value as a person reads it.
func text(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case event.Micros:
		return timeText(value)
	case string:
		return nameText(value)
	default:
		return fmt.Sprint(value)
	}
}

func nameText(s string) string {
	if s == "" {
		return "''"
	}
	return s
}

// timeText is a time as PostgreSQL writes it in a session of ours.
func timeText(t event.Micros) string { return storableTime(t).Format("2006-01-02 15:04:05.999999+00") }

// columnName writes DurationMS as duration_ms.
func columnName(field string) string {
	var name strings.Builder
	for i, r := range field {
		if unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(rune(field[i-1])) {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToLower(r))
	}
	return name.String()
}

// shownColumns are columns of session_facts as text, in the order of shownFacts.
const shownColumns = `ARRAY[f.started_at::text, f.ended_at::text, f.first_received_at::text, f.last_received_at::text,
             f.duration_ms::text, f.active_ms::text, f.events::text, f.over_limit::text, f.seq_received::text, f.seq_expected::text,
             f.zones::text, f.ended::text, f.start_declared::text, f.end_declared::text, f.clock_stepped::text,
             f.customer_id, f.property_id, f.device, f.entry_zone, f.exit_zone]`

// shownFact is what a column must hold, "" for NULL.
type shownFact struct{ column, must string }

// shownFacts is written apart from what stores these columns: what checks must
// not share the mistakes of what it checks.
func shownFacts(f *facts.Facts) []shownFact {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []shownFact{
		{"started_at", timeText(f.Start)},
		{"ended_at", timeText(f.End)},
		{"first_received_at", timeText(f.FirstReceived)},
		{"last_received_at", timeText(f.LastReceived)},
		{"duration_ms", number(f.DurationMS)},
		{"active_ms", number(f.ActiveMS)},
		{"events", number(f.Events)},
		{"over_limit", number(f.OverLimit)},
		{"seq_received", number(f.SeqReceived)},
		{"seq_expected", number(f.SeqExpected)},
		{"zones", number(int64(f.Zones))},
		{"ended", strconv.FormatBool(f.Ended)},
		{"start_declared", strconv.FormatBool(f.StartDeclared)},
		{"end_declared", strconv.FormatBool(f.EndDeclared)},
		{"clock_stepped", strconv.FormatBool(f.ClockStepped)},
		{"customer_id", f.CustomerID},
		{"property_id", f.PropertyID},
		{"device", f.Device},
		{"entry_zone", f.EntryZone},
		{"exit_zone", f.ExitZone},
	}
}

// checkColumns compares what views show with the facts.
func (v *verifier) checkColumns(s *storedSession, f *facts.Facts) {
	var found []string
	for i, fact := range shownFacts(f) {
		is, must := "NULL", "NULL"
		if s.shown[i] != nil {
			is = nameText(*s.shown[i])
		}
		if fact.must != "" {
			must = fact.must
		}
		if said := isMust(fact.column, is, must); said != "" {
			found = append(found, said)
		}
	}
	if !s.pathKept && len(f.Path) > 0 {
		found = append(found, fmt.Sprintf("path_kept is false, the state has %d points", len(f.Path)))
	}
	found = append(found, s.visits.difference(f.Visits)...)
	if len(found) > 0 {
		v.differ(columnsCheck, s.row(), "%s", sentence(found))
	}
}

// difference compares the arrays of visits with the visits.
func (w *storedVisits) difference(visits []facts.Visit) []string {
	var found []string
	arrays := []struct {
		column string
		length int
		is     func(i int) string
		must   func(v *facts.Visit) string
	}{
		{"visit_zones", len(w.zones), func(i int) string { return nameText(w.zones[i]) }, func(v *facts.Visit) string { return nameText(v.Zone) }},
		{"visit_levels", len(w.levels), func(i int) string { return strconv.Itoa(int(w.levels[i])) }, func(v *facts.Visit) string { return strconv.Itoa(int(v.Level)) }},
		{"visit_entered_at", len(w.entered), func(i int) string { return stampText(w.entered[i]) }, func(v *facts.Visit) string { return timeText(v.Entered) }},
		{"visit_left_at", len(w.left), func(i int) string { return stampText(w.left[i]) }, func(v *facts.Visit) string { return timeText(v.Left) }},
		{"visit_dwell_ms", len(w.dwell), func(i int) string { return strconv.FormatInt(w.dwell[i], 10) }, func(v *facts.Visit) string { return strconv.FormatInt(v.DwellMS, 10) }},
		{"visit_closed_by", len(w.closedBy), func(i int) string { return w.closedBy[i] }, func(v *facts.Visit) string { return v.ClosedBy.String() }},
	}
	for _, array := range arrays {
		if array.length != len(visits) {
			found = append(found, fmt.Sprintf("%s has %d visits, must have %d", array.column, array.length, len(visits)))
			continue
		}
		for i := range visits {
			if said := isMust(array.column+" no. "+strconv.Itoa(i+1), array.is(i), array.must(&visits[i])); said != "" {
				found = append(found, said)
				break
			}
		}
	}
	return found
}

func stampText(t time.Time) string { return timeText(event.MicrosOf(t)) }

// describeRows says how two different lists of contributions differ, row by row.
func describeRows(stored, must facts.Contributions) string {
	var found []string
	for len(stored) > 0 || len(must) > 0 {
		order := -1
		switch {
		case len(stored) == 0:
			order = 1
		case len(must) > 0:
			order = stored[0].Compare(&must[0].Key)
		}
		switch {
		case order < 0:
			found = append(found, rowText(&stored[0].Key)+" is there, must not be")
			stored = stored[1:]
		case order > 0:
			found = append(found, rowText(&must[0].Key)+" is not there, must be")
			must = must[1:]
		default:
			if said := rowDifference(&stored[0], &must[0]); said != "" {
				found = append(found, rowText(&stored[0].Key)+": "+said)
			}
			stored, must = stored[1:], must[1:]
		}
	}
	return sentence(found)
}

func rowDifference(stored, must *facts.Row) string {
	columns := stored.Table.Columns()
	var found []string
	compare := func(name string, is, right int64) {
		if is != right {
			found = append(found, fmt.Sprintf("%s is %d, must be %d", name, is, right))
		}
	}
	compare("refs", stored.Refs, must.Refs)
	for i, sum := range columns.Sums {
		compare(sum, stored.Sums[i], must.Sums[i])
	}
	if columns.Bins != "" {
		right := must.Counts()
		for bin, n := range stored.Counts() {
			compare("bin "+strconv.Itoa(bin)+" of "+columns.Bins, n, right[bin])
		}
	}
	return strings.Join(found, ", ")
}

// rowText names an aggregate row within its tenant.
func rowText(k *facts.Key) string {
	parts := []string{k.Table.String()}
	for _, column := range k.Table.Columns().Key {
		switch column {
		case facts.KeyProperty:
			parts = append(parts, nameText(k.Property))
		case facts.KeyDay:
			parts = append(parts, day(k.Day).String())
		case facts.KeyHour:
			parts = append(parts, timeText(event.Micros(k.Hour*1_000_000)))
		case facts.KeyZone:
			parts = append(parts, nameText(k.Zone))
		case facts.KeyObject:
			parts = append(parts, nameText(k.Object))
		case facts.KeyKind:
			parts = append(parts, nameText(k.Kind))
		case facts.KeyLevel:
			parts = append(parts, "level "+strconv.Itoa(int(k.Level)))
		case facts.KeyX:
			parts = append(parts, "x "+strconv.Itoa(int(k.X)))
		case facts.KeyY:
			parts = append(parts, "y "+strconv.Itoa(int(k.Y)))
		case facts.KeyType:
			parts = append(parts, "event type "+strconv.Itoa(int(k.Type)))
		}
	}
	return strings.Join(parts, " ")
}
