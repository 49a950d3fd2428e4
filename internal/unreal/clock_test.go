package unreal

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

func micros(t *testing.T, rfc3339 string) event.Micros {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return event.MicrosOf(at)
}

func TestTimeAt_Forms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		json string
		want string // RFC 3339, or empty for no time
	}{
		// Unix seconds.
		{`1755265369`, "2025-08-15T13:42:49Z"},
		{`1755265369.524`, "2025-08-15T13:42:49.524Z"},
		{`"1755265369.524"`, "2025-08-15T13:42:49.524Z"},
		{`" 1755265369.524 "`, "2025-08-15T13:42:49.524Z"},
		{`1.755265369524e9`, "2025-08-15T13:42:49.524Z"},
		{`1755265369524E-3`, "2025-08-15T13:42:49.524Z"},
		{`17552653695240000e-7`, "2025-08-15T13:42:49.524Z"},
		{`1755265369.52399992942810059`, "2025-08-15T13:42:49.524Z"},
		{`1755265369.5240001`, "2025-08-15T13:42:49.524Z"},
		{`1755265369.0000005`, "2025-08-15T13:42:49.000001Z"},
		{`1755265369.00000049999`, "2025-08-15T13:42:49Z"},
		{`0`, "1970-01-01T00:00:00Z"},
		{`-0.0`, "1970-01-01T00:00:00Z"},
		{`-1.5`, "1969-12-31T23:59:58.5Z"},
		{`946684800`, "2000-01-01T00:00:00Z"},
		{`-62135596800`, "0001-01-01T00:00:00Z"},
		{`99999999999`, "5138-11-16T09:46:39Z"},
		// Milliseconds, microseconds, ticks.
		{`1755265369524`, "2025-08-15T13:42:49.524Z"},
		{`"1755265369524"`, "2025-08-15T13:42:49.524Z"},
		{`1755265369524.25`, "2025-08-15T13:42:49.52425Z"},
		{`1.755265369524e12`, "2025-08-15T13:42:49.524Z"},
		{`1755265369524250`, "2025-08-15T13:42:49.52425Z"},
		{`638908621695242500`, "2025-08-15T13:42:49.52425Z"},
		{`"638908621695242507"`, "2025-08-15T13:42:49.524251Z"},
		{`638908621695242500.0`, "2025-08-15T13:42:49.52425Z"},
		{`3155378975999999990`, "9999-12-31T23:59:59.999999Z"},
		// ISO 8601.
		{`"2025-12-02T14:30:03Z"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02T14:30:03.25Z"`, "2025-12-02T14:30:03.25Z"},
		{`"2025-12-02t14:30:03z"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02T14:30:03.1234567Z"`, "2025-12-02T14:30:03.123457Z"},
		{`"2025-12-02T14:30:03.9999999Z"`, "2025-12-02T14:30:04Z"},
		{`"2025-12-02T14:30:03,5Z"`, "2025-12-02T14:30:03.5Z"},
		{`"2025-12-02T20:00:03+05:30"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02T20:00:03.5+0530"`, "2025-12-02T14:30:03.5Z"},
		{`"2025-12-02T09:30:03-05"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02T14:30:03"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02T14:30"`, "2025-12-02T14:30:00Z"},
		{`"2025-12-02 14:30:03"`, "2025-12-02T14:30:03Z"},
		{`"2025-12-02 14:30:03.5 +05:30"`, "2025-12-02T09:00:03.5Z"},
		{`"2024-02-29T23:59:59Z"`, "2024-02-29T23:59:59Z"},
		{`"2016-12-31T23:59:60Z"`, "2017-01-01T00:00:00Z"},
		{`"0001-01-01T00:00:00.000Z"`, "0001-01-01T00:00:00Z"},
		{`"2025-12-02T14\u003a30:03Z"`, "2025-12-02T14:30:03Z"},
		// Unreal's own.
		{`"2025.12.02-14.30.03"`, "2025-12-02T14:30:03Z"},
		{`"2025.12.02-14.30.03.250"`, "2025-12-02T14:30:03.25Z"},
		{`"0001.01.01-00.00.00"`, "0001-01-01T00:00:00Z"},
		// For people.
		{`"02-Dec-2025, 2:54:12 pm"`, "2025-12-02T14:54:12Z"},
		{`"2-dec-2025, 02:54:12 AM"`, "2025-12-02T02:54:12Z"},
		{`"02-DEC-2025 2:54:12pm"`, "2025-12-02T14:54:12Z"},
		{`"02-Dec-2025,2:54:12 Pm"`, "2025-12-02T14:54:12Z"},
		{"\"02-Dec-2025, 2:54:12\u202fpm\"", "2025-12-02T14:54:12Z"},
		{"\"02-Dec-2025, 2:54:12\u00a0pm\"", "2025-12-02T14:54:12Z"},
		{`"02-Dec-2025, 2:54:12\u202fpm"`, "2025-12-02T14:54:12Z"},
		{`"02-Dec-2025, 12:00:00 am"`, "2025-12-02T00:00:00Z"},
		{`"02-Dec-2025, 12:00:00 pm"`, "2025-12-02T12:00:00Z"},
		{`"02-Dec-2025, 14:54:12"`, "2025-12-02T14:54:12Z"},
		// No times.
		{`"yesterday"`, ""},
		{`true`, ""},
		{`{"s":1}`, ""},
		{`[1755265369]`, ""},
		{`"inf"`, ""},
		{`"nan"`, ""},
		{`1e400`, ""},
		{`-1e400`, ""},
		{`-638908621695242500`, ""},
		{`3155378976000000000`, ""},
		{`99999999999999999999`, ""},
		{`"2025-12-02"`, ""},
		{`"2025-02-29T00:00:00Z"`, ""},
		{`"2100-02-29T00:00:00Z"`, ""},
		{`"2025-13-01T00:00:00Z"`, ""},
		{`"2025-00-01T00:00:00Z"`, ""},
		{`"2025-04-31T00:00:00Z"`, ""},
		{`"2025-12-02T24:00:00Z"`, ""},
		{`"2025-12-02T14:60:00Z"`, ""},
		{`"2025-12-02T14:30:61Z"`, ""},
		{`"2025-12-02T14:30:03."`, ""},
		{`"2025-12-02T14:30:03Zulu"`, ""},
		{`"2025-12-02T14:30:03+24:00"`, ""},
		{`"2025-12-02T14:30:03+05:60"`, ""},
		{`"2025-12-02T14:30:03+5"`, ""},
		{`"0000-01-01T00:00:00Z"`, ""},
		{`"0001-01-01T00:00:00+01:00"`, ""},
		{`"9999-12-31T23:59:59-01:00"`, ""},
		{`"10000-01-01T00:00:00Z"`, ""},
		{`"2025.12.02-14:30:03"`, ""},
		{`"2025.12.02"`, ""},
		{`"02-Foo-2025, 2:54:12 pm"`, ""},
		{`"02-anf-2025, 2:54:12 pm"`, ""},
		{`"02-Dec-2025, 13:54:12 pm"`, ""},
		{`"02-Dec-2025, 0:54:12 pm"`, ""},
		{`"02-Dec-2025, 2:54:12 xm"`, ""},
		{`"02-Dec-2025, 2:54:12 pm "`, "2025-12-02T14:54:12Z"},
		{`"02-Dec-2025, 2:54:12 p"`, ""},
		{`"02-Dec-2025, 2:54:12 pmx"`, ""},
		{`"02-De"`, ""},
		{`"-"`, ""},
		{`":"`, ""},
		{`"1,77,50,078:30:03"`, ""},
	} {
		at, _, present, ok, end := timeAt(test.json, 0)
		if end != len(test.json) || !present || ok != (test.want != "") {
			t.Errorf("%s: present %v, ok %v, end %d", test.json, present, ok, end)
			continue
		}
		if ok && at != micros(t, test.want) {
			t.Errorf("%s is %s, want %s", test.json, at.Time().Format(time.RFC3339Nano), test.want)
		}
	}
	for _, absent := range []string{`null`, `""`} {
		if _, _, present, ok, end := timeAt(absent, 0); present || !ok || end != len(absent) {
			t.Errorf("%s counts as a time", absent)
		}
	}
}

// instants are times of the two digits-wise safe centuries in which all numeric
// forms can be told apart.
func instants() *rapid.Generator[event.Micros] {
	return rapid.Map(rapid.Int64Range(400_000_000_000_000, 4_000_000_000_000_000),
		func(m int64) event.Micros { return event.Micros(m) })
}

func TestTimeAt_FormsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := instants().Draw(t, "at")
		zone := time.FixedZone("", rapid.IntRange(-14*60, 14*60).Draw(t, "zone")*60)
		clock := at.Time()
		for _, text := range []string{
			fmt.Sprintf("%d.%06d", at/1e6, at%1e6),
			fmt.Sprintf("%d.%03d", at/1000, at%1000),
			strconv.FormatInt(int64(at), 10),
			fmt.Sprintf("%de-6", at),
			strconv.FormatInt((int64(at)+ticksEpoch)*10, 10),
			strconv.Quote(fmt.Sprintf("%d.%06d", at/1e6, at%1e6)),
			strconv.Quote(clock.Format("2006-01-02T15:04:05.000000Z")),
			strconv.Quote(clock.In(zone).Format("2006-01-02T15:04:05.000000-07:00")),
			strconv.Quote(clock.In(zone).Format("2006-01-02T15:04:05.000000-0700")),
			strconv.Quote(clock.Format("2006-01-02 15:04:05.000000")),
			strconv.Quote(clock.Format("2006.01.02-15.04.05.000000")),
		} {
			got, _, present, ok, end := timeAt(text, 0)
			if got != at || !present || !ok || end != len(text) {
				t.Fatalf("%s is %d, want %d", text, got, at)
			}
		}
		second := at - at%1e6
		for _, layout := range []string{"02-Jan-2006, 3:04:05 pm", "02-Jan-2006, 03:04:05PM", "2-Jan-2006, 15:04:05"} {
			if got, ok := timeOf(clock.Format(layout)); got != second || !ok {
				t.Fatalf("%s is %d, want %d", clock.Format(layout), got, second)
			}
		}
	})
}

func TestDecimal_MicrosAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		literal := literals().Draw(t, "literal")
		d, _ := scanNumber(literal, 0)
		at, form, ok := d.micros()
		if !ok {
			return
		}
		want := exactly(t, literal)
		switch form {
		case formSeconds:
			want.Mul(want, big.NewRat(1e6, 1))
		case formMillis:
			want.Mul(want, big.NewRat(1e3, 1))
		default:
			if new(big.Rat).Abs(want).Cmp(big.NewRat(1e17, 1)) >= 0 {
				want.Mul(want, big.NewRat(1, 10))
				want.SetInt(halfAway(want)).Sub(want, big.NewRat(ticksEpoch, 1))
			}
		}
		if nearest := halfAway(want); int64(at) != nearest.Int64() {
			t.Fatalf("%s is %d, want %s", literal, at, nearest)
		}
	})
}

func TestCursor_CivilMatchesTimePackage(t *testing.T) {
	t.Parallel()
	var c cursor
	for day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2500; day = day.AddDate(0, 0, 17) {
		days := c.civil(int64(day.Year()), int64(day.Month()), int64(day.Day()))
		if want := day.Unix() / 86_400; days != want || c.failed {
			t.Fatalf("%s is day %d, want %d", day.Format(time.DateOnly), days, want)
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, text := range []string{
		"1755265369.524", "638908621695242500", "2025-12-02T14:30:03.25+05:30", "2025-12-02 14:30:03", "2025.12.02-14.30.03.250",
		"02-Dec-2025, 2:54:12 pm", "02-Dec-2025, 2:54:12\u202fPM", "1e308", "-9223372036854775808", "9999-12-31T23:59:60", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := timeOf(text)
		if ok && (at < event.Earliest || at > event.Latest) {
			t.Fatalf("%q is %d, outside the calendar", text, at)
		}
		// What the time package reads as ISO 8601 reads as the same instant here.
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006.01.02-15.04.05.000"} {
			want, err := time.Parse(layout, text)
			if err != nil || want.Year() < 2 || want.Year() > 9998 {
				continue
			}
			// time.Parse also takes an hour of one digit and a comma, which the engine
			// never writes in its own form.
			if dotted := "2006.01.02-15.04.05.000"; layout == dotted && (len(text) != len(dotted) || strings.Contains(text, ",")) {
				continue
			}
			if rounded := event.MicrosOf(want.Add(500 * time.Nanosecond)); !ok || at != rounded {
				t.Fatalf("%q is %d, %v; time.Parse reads %d", text, at, ok, rounded)
			}
		}
	})
}

func TestLengthAt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		`45`: 45 * time.Second, `45.5`: 45500 * time.Millisecond, `"45"`: 45 * time.Second, `0`: 0, `"0:00"`: 0,
		`"0:14"`: 14 * time.Second, `"1:45"`: 105 * time.Second, `"90:00"`: 90 * time.Minute, `"1:02:03"`: 3723 * time.Second,
		`"2m 45s"`: 165 * time.Second, `"21m33s"`: 1293 * time.Second, `"1h 2m 3s"`: 3723 * time.Second,
		`"1,77,50,078:30:03"`: -1, `1764685803`: -1, `-5`: -1, `""`: -1, `null`: -1, `{}`: -1, `"1:2:3:4"`: -1, `"abc"`: -1, `"5x"`: -1,
		`":"`: -1, `"1:"`: -1, `":1"`: -1, `"-1:00"`: -1, `1e300`: -1, `"9999999:00:00"`: -1, `"9999999h 9999999h"`: -1, `"0:14.5"`: -1,
	} {
		length, ok := lengthAt(text, 0)
		if ok != (want >= 0) || ok && length != want {
			t.Errorf("%s is %s, %v; want %s", text, length, ok, want)
		}
	}
}
