package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/recording"
)

// oracle says what a recording means, worked out from its bytes by the plainest
// means and without anything of the pipeline: whole slices, sorting, no
// increments. It knows what recordings have, poses and looks that bring their
// length, and refuses what it cannot judge.
type oracle struct {
	tours []*tour
}

// tour is one session of a recording.
type tour struct {
	recording.Session

	events []said // in order of time
}

// said is one event.
type said struct {
	atMicros int64 // Unix time
	kind     string
	x, y     float32 // of a pose
	target   string  // of a look, and its length
	lookMS   int64
}

// ms is the event's time in whole milliseconds, which lengths are made of.
func (s *said) ms() int64 { return int64(math.Floor(float64(s.atMicros) / 1000)) }

// sums are the rows of one table: what is summed by what it is summed under.
// The first number counts the sessions in a row, or the customers.
type sums map[string][]int64

// tables are sums by the name of the table.
type tables map[string]sums

// add adds numbers to a row, which is made if need be.
func (t tables) add(table, key string, numbers ...int64) {
	if t[table] == nil {
		t[table] = sums{}
	}
	row := t[table][key]
	if row == nil {
		row = make([]int64, len(numbers))
		t[table][key] = row
	}
	for i, n := range numbers {
		row[i] += n
	}
}

// consult reads a recording. reported is what its session posts say.
func consult(file string, reported []recording.Session) (*oracle, error) {
	o := &oracle{}
	byID := map[string]*tour{}
	for _, session := range reported {
		one := &tour{Session: session}
		byID[session.ID] = one
		o.tours = append(o.tours, one)
	}
	reader, err := recording.Open(file)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && strings.HasSuffix(request.Path, "/batch") && !seen[request.Body] {
			seen[request.Body] = true // the same bytes again are the same events
			err = readBatch(request.Body, byID)
		}
		if err != nil {
			return nil, errors.Join(err, reader.Close())
		}
	}
	for _, one := range o.tours {
		slices.SortStableFunc(one.events, func(a, b said) int { return int(a.atMicros - b.atMicros) })
	}
	return o, reader.Close()
}

// readBatch appends what one batch says.
func readBatch(body string, byID map[string]*tour) error {
	type vector struct { // the database keeps 32 bits
		X float32 `json:"x"`
		Y float32 `json:"y"`
		Z float32 `json:"z"`
	}
	var batch struct {
		SessionID string      `json:"session_id"`
		SentAt    json.Number `json:"sent_at"`
		Events    []struct {
			Type      string      `json:"event_type"`
			Timestamp json.Number `json:"timestamp"`
			Position  *vector     `json:"position"`
			Rotation  any         `json:"rotation"`
			Target    string      `json:"gaze_target"`
			DwellMS   int64       `json:"dwell_time_ms"`
		} `json:"events"`
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&batch); err != nil {
		return err
	}
	one := byID[batch.SessionID]
	if one == nil {
		return fmt.Errorf("session %q has no report", batch.SessionID)
	}
	for i, e := range batch.Events {
		at, err := micros(string(e.Timestamp))
		if err != nil {
			return fmt.Errorf("session %s, event %d: %w", one.ID, i, err)
		}
		event := said{atMicros: at, kind: e.Type, target: e.Target, lookMS: e.DwellMS}
		switch {
		case e.Type == "pose" && e.Position != nil:
			event.x, event.y = e.Position.X, e.Position.Y
		case e.Type == "gaze" && e.Target != "" && e.DwellMS > 0:
		default:
			return fmt.Errorf("session %s, event %d: a %s of this form is none that can be judged", one.ID, i, e.Type)
		}
		one.events = append(one.events, event)
	}
	return nil
}

// micros reads Unix seconds with up to six decimals, exactly.
func micros(text string) (int64, error) {
	whole, decimals, _ := strings.Cut(text, ".")
	if len(decimals) > 6 {
		return 0, fmt.Errorf("time %s is finer than a microsecond", text)
	}
	return strconv.ParseInt(whole+(decimals + "000000")[:6], 10, 64)
}

// expected returns the rows of every table that a recording fills, after the
// given number of copies of it.
func (o *oracle) expected(copies int) tables {
	all := tables{}
	for _, one := range o.tours {
		for table, rows := range one.contributions() {
			for key, numbers := range rows {
				times := slices.Clone(numbers)
				for i := range times {
					times[i] *= int64(copies)
				}
				all.add(table, key, times...)
			}
		}
	}
	// Copies are other sessions of the same people.
	sessions := make([]seen, len(o.tours))
	for i, one := range o.tours {
		sessions[i] = one.seen()
	}
	countCustomers(all, sessions)
	return all
}

// contributions returns what one session adds. Every row of it counts the
// session once.
func (one *tour) contributions() tables {
	own := tables{}
	one.looks(own)
	one.heat(own)
	hours := map[string]int64{}
	for i := range one.events {
		e := &one.events[i]
		hours[moment(e.ms()).Truncate(time.Hour).Format(time.RFC3339)+"|"+e.kind]++
	}
	for key, events := range hours {
		own.add("events_hourly", one.Property+"|"+key, 1, events)
	}
	session := one.seen()
	session.count(own)
	return own
}

// seen is a session as analysts see it. Times are Unix milliseconds.
type seen struct {
	Property, Customer   string
	StartMS, EndMS       int64
	DurationMS, ActiveMS int64
	Events, Zones        int64
	Status               string
}

// seen is what has to be seen of the session.
func (one *tour) seen() seen {
	start, end := one.period()
	return seen{
		Property: one.Property, Customer: one.Customer, StartMS: start, EndMS: end,
		DurationMS: end - start, ActiveMS: one.activeMS(), Events: int64(len(one.events)), Status: "completed",
	}
}

// count adds the session to its day.
func (s *seen) count(all tables) {
	all.add("properties_daily", s.Property+"|"+day(s.StartMS), append([]int64{
		1, s.DurationMS, s.ActiveMS, oneIf(s.DurationMS >= 180_000), oneIf(s.DurationMS >= 600_000), s.Events, 0,
	}, histogram(s.DurationMS)...)...)
}

// looks sums the looks by day and target. The time to the first look counts from
// the first event, since there are no zones.
func (one *tour) looks(own tables) {
	byTarget := map[string]map[string][]said{}
	first := map[string]int64{}
	for _, e := range one.events {
		if e.kind != "gaze" {
			continue
		}
		if byTarget[e.target] == nil {
			byTarget[e.target] = map[string][]said{}
			first[e.target] = e.ms()
		}
		byTarget[e.target][day(e.ms())] = append(byTarget[e.target][day(e.ms())], e)
	}
	for target, days := range byTarget {
		for on, looks := range days {
			row := []int64{1, int64(len(looks)), 0, 0, 0, 0, 0}
			for _, look := range looks {
				row[2] += look.lookMS
			}
			bins := make([]int64, bins)
			if looks[0].ms() == first[target] {
				wait := first[target] - one.events[0].ms()
				row[5], row[6], bins = 1, wait, histogram(wait)
			}
			own.add("gaze_targets_daily", one.Property+"|"+on+"||"+target, append(row, bins...)...)
		}
	}
}

// heat gives each cell the time until the next pose, a second at most.
func (one *tour) heat(own tables) {
	var poses []said
	for _, e := range one.events {
		if e.kind == "pose" {
			poses = append(poses, e)
		}
	}
	cells := map[string]int64{}
	for i := range max(0, len(poses)-1) {
		pose := &poses[i]
		cell := fmt.Sprintf("%s|0|%.0f|%.0f", day(pose.ms()), math.Floor(float64(pose.x)/25), math.Floor(float64(pose.y)/25))
		cells[cell] += min(poses[i+1].ms()-pose.ms(), 1000)
	}
	for cell, ms := range cells {
		if ms > 0 {
			own.add("floor_heatmap_daily", one.Property+"|"+cell, 1, ms)
		}
	}
}

// period is the session's, in Unix milliseconds: as declared, else the first and
// the last event.
func (one *tour) period() (start, end int64) {
	start, end = one.events[0].ms(), one.events[len(one.events)-1].ms()
	if one.Start != 0 {
		start = one.Start * 1000
	}
	if one.End != 0 {
		end = one.End * 1000
	}
	return start, max(start, end)
}

// activeMS is the length without stretches of more than a minute in which
// nothing happened. A look happens all its time long.
func (one *tour) activeMS() int64 {
	start, end := one.period()
	active, alive := end-start, start
	for i := range one.events {
		e := &one.events[i]
		if gap := min(e.ms(), end) - max(alive, start); gap > 60_000 {
			active -= gap
		}
		alive = max(alive, e.ms()+e.lookMS)
	}
	if gap := end - alive; gap > 60_000 {
		active -= gap
	}
	return active
}

// countCustomers counts who came on a day, and who of them had been anywhere
// before and had left at least half an hour ago.
func countCustomers(all tables, sessions []seen) {
	type visitor struct{ customer, property, day string }
	repeats := map[visitor]bool{}
	for i := range sessions {
		s := &sessions[i]
		if s.Customer == "" {
			continue
		}
		who := visitor{s.Customer, s.Property, day(s.StartMS)}
		repeats[who] = repeats[who] || slices.ContainsFunc(sessions, func(other seen) bool {
			left := max(other.StartMS, other.EndMS)
			return other.Customer == s.Customer && s.StartMS-left >= 30*60*1000
		})
	}
	for who, repeat := range repeats {
		all.add("customers_daily", who.property+"|"+who.day, 1, oneIf(repeat))
	}
}

// bins is how many bins a histogram has: 16 of 100 ms, then eight for each
// doubling.
const bins = 144

// histogram has a 1 in the bin of a length, found by walking up to it.
func histogram(ms int64) []int64 {
	counts := make([]int64, bins)
	bin, width, until := 0, int64(100), int64(100)
	for ; ms >= until && bin < bins-1; until += width {
		if bin++; bin >= 16 && bin%8 == 0 {
			width *= 2
		}
	}
	counts[bin] = 1
	return counts
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func day(ms int64) string { return moment(ms).Format(time.DateOnly) }

func oneIf(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// lookTime sums the expected look time by target.
func (t tables) lookTime() map[string]int64 {
	byTarget := map[string]int64{}
	for key, row := range t["gaze_targets_daily"] {
		byTarget[key[strings.LastIndexByte(key, '|')+1:]] += row[2]
	}
	return byTarget
}
