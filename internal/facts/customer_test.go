package facts

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// stayed is a session of a customer, in minutes from the begin of tours.
func stayed(property string, start, end int) CustomerSession {
	minute := func(n int) event.Micros { return event.MicrosOf(begin.Add(time.Duration(n) * time.Minute)) }
	return CustomerSession{PropertyID: property, Start: minute(start), End: minute(end)}
}

func TestCustomerContributions(t *testing.T) { // rule 4
	t.Parallel()
	const days = 24 * 60
	for name, c := range map[string]struct {
		sessions []CustomerSession
		want     string
	}{
		"nobody":                        {nil, ""},
		"one session":                   {[]CustomerSession{stayed("loft", 0, 10)}, "property=loft 2026-03-10 refs=1 [0]"},
		"property unknown":              {[]CustomerSession{stayed("", 0, 10)}, "2026-03-10 refs=1 [0]"},
		"twice at once":                 {[]CustomerSession{stayed("loft", 0, 10), stayed("loft", 0, 10)}, "property=loft 2026-03-10 refs=1 [0]"},
		"back after half an hour":       {[]CustomerSession{stayed("loft", 0, 10), stayed("loft", 40, 50)}, "property=loft 2026-03-10 refs=1 [1]"},
		"back a minute earlier":         {[]CustomerSession{stayed("loft", 0, 10), stayed("loft", 39, 50)}, "property=loft 2026-03-10 refs=1 [0]"},
		"the earlier one went on":       {[]CustomerSession{stayed("loft", 0, 39), stayed("loft", 40, 50)}, "property=loft 2026-03-10 refs=1 [0]"},
		"an end before the start":       {[]CustomerSession{stayed("loft", 20, -900), stayed("loft", 40, 50)}, "property=loft 2026-03-10 refs=1 [0]"},
		"an end before the start, long": {[]CustomerSession{stayed("loft", 0, -900), stayed("loft", 30, 50)}, "property=loft 2026-03-10 refs=1 [1]"},
		"an end years ahead":            {[]CustomerSession{stayed("loft", 0, 9000*days), stayed("loft", days, days+1)}, "property=loft 2026-03-10 refs=1 [0]\nproperty=loft 2026-03-11 refs=1 [0]"},
		"elsewhere the day before": {
			[]CustomerSession{stayed("loft", 0, 10), stayed("villa", days, days+10)},
			"property=loft 2026-03-10 refs=1 [0]\nproperty=villa 2026-03-11 refs=1 [1]",
		},
		"one of three comes back": {
			[]CustomerSession{stayed("loft", 0, 10), stayed("loft", 20, 30), stayed("loft", 45, 46)},
			"property=loft 2026-03-10 refs=1 [1]",
		},
		// 9:00 UTC is 23:00 there.
		"the property's own day": {
			[]CustomerSession{stayed("island", 0, 10), stayed("island", 60, 70)},
			"property=island 2026-03-10 refs=1 [0]\nproperty=island 2026-03-11 refs=1 [1]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := CustomerContributions(NoEnd, c.sessions, map[string]Property{"island": {Zone: time.FixedZone("", 14*3600)}})
			equal(t, "customers", c.want, rowLines(got, CustomersDaily))
		})
	}
}

func TestCustomerContributions_LateOlderSession(t *testing.T) { // rule 4
	t.Parallel()
	today := []CustomerSession{stayed("loft", 0, 10)}
	before := CustomerContributions(NoEnd, today, nil)
	after := CustomerContributions(NoEnd, append(today, stayed("villa", -24*60, -24*60+5)), nil)
	equal(t, "difference", "property=loft 2026-03-10 refs=0 [1]\nproperty=villa 2026-03-09 refs=1 [0]",
		rowLines(Difference(after, before), CustomersDaily))
}

// drawVisits invents a customer, with times on the edge of the definitions.
func drawVisits(t *rapid.T) []CustomerSession {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) CustomerSession {
		start := rapid.SampledFrom([]int{-1000, 0, 1, 30, 31, 60, 600, 900, 901, 5000}).Draw(t, "start")
		length := rapid.SampledFrom([]int{-2000, -1, 0, 0, 1, 29, 30, 31, 600}).Draw(t, "length")
		return stayed(rapid.SampledFrom([]string{"", "loft", "villa"}).Draw(t, "property"), start, start+length)
	}), 0, 8).Draw(t, "sessions")
}

// repeatsByPairs asks of every pair what the definition says.
func repeatsByPairs(sessions []CustomerSession, properties map[string]Property) Contributions {
	var sum Contributions
	for i, s := range sessions {
		repeat := int64(0)
		for j, earlier := range sessions {
			if i != j && earlier.Start < s.Start && s.Start-max(earlier.Start, earlier.End) >= event.Micros(RepeatAfter.Microseconds()) {
				repeat = 1
			}
		}
		day := localDay(s.Start, properties[s.PropertyID].zone())
		sum = Add(sum, Contributions{{Key: Key{Table: CustomersDaily, Property: s.PropertyID, Day: day}, Refs: 1, Sums: []int64{repeat}}})
	}
	for i := range sum {
		sum[i].Refs, sum[i].Sums[0] = 1, min(sum[i].Sums[0], 1)
	}
	return sum
}

func TestCustomerContributions_AreAFunctionOfTheSet(t *testing.T) { // rule 4
	t.Parallel()
	properties := map[string]Property{"villa": {Zone: time.FixedZone("", 5*3600+1800)}}
	rapid.Check(t, func(t *rapid.T) {
		sessions := drawVisits(t)
		want := CustomerContributions(NoEnd, sessions, properties)
		assertRows(t, "by pairs", repeatsByPairs(sessions, properties), want)

		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffled := slices.Clone(sessions)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		assertRows(t, "in another order", want, CustomerContributions(NoEnd, shuffled, properties))

		// Whatever is removed, the difference takes away exactly what it added.
		left := shuffled[:rapid.IntRange(0, len(shuffled)).Draw(t, "left")]
		less := CustomerContributions(NoEnd, left, properties)
		assertRows(t, "less what was removed", less, Add(want, Difference(less, want)))

		written := want.Append(nil)
		read, err := DecodeContributions(written)
		if err != nil || !bytes.Equal(read.Append(nil), written) {
			t.Fatalf("read as written: %v", err)
		}
		if diff := gocmp.Diff(want, read); len(want) > 0 && diff != "" {
			t.Fatalf("read as written (-want +got):\n%s", diff)
		}
	})
}

// Whoever leaves, in whatever order and in whatever number at once: what was
// counted stays, no row is without a customer, and when all have left there is
// nothing left of the customer.
func TestWithDeparted(t *testing.T) { // rule 4
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kept := drawVisits(t)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		random.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		counted := CustomerContributions(NoEnd, kept, nil)
		firstEnd := FirstEnd(kept)
		var shared, pastSum Contributions
		for len(kept) > 0 {
			n := rapid.IntRange(1, len(kept)).Draw(t, "leave")
			left := CustomerContributions(firstEnd, kept[:n], nil)
			kept = kept[n:]
			own := CustomerContributions(firstEnd, kept, nil)
			var result, past Contributions
			result, shared, past = WithDeparted(own, Either(left, shared))
			pastSum = Add(pastSum, past)
			assertRows(t, "all that was counted", counted, Add(result, pastSum))
			for _, row := range slices.Concat(pastSum, shared, result) {
				if row.Refs != 1 {
					t.Fatalf("%v", row)
				}
			}
			if len(Add(shared, own)) != len(own) {
				t.Fatalf("shared with nobody: %v and %v", shared, own)
			}
		}
		assertRows(t, "past", counted, pastSum)
		if len(shared) > 0 {
			t.Fatalf("shared with nobody: %v", shared)
		}
	})
}
