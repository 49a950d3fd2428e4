package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

// TestLedger_Compare plants each thing that can be wrong with a batch and
// expects it to be found, and nothing else.
func TestLedger_Compare(t *testing.T) {
	t.Parallel()
	id := event.UUID{1}
	post := sim.Post{Accepted: 3, Rejected: 1}
	good := row{id: id, accepted: 3, rejected: 1, events: 3, indexes: 3, refusedEdge: 1, rejectedIdx: 1}
	for name, test := range map[string]struct {
		fate fate
		post sim.Post
		rows func() []row
		want string // the kind of the only finding; empty: none
	}{
		"stored once":                 {fateAcknowledged, post, func() []row { return []row{good} }, ""},
		"unanswered and stored":       {fateOpen, post, func() []row { return []row{good} }, ""},
		"unanswered and not stored":   {fateOpen, post, func() []row { return nil }, ""},
		"refused and not stored":      {fateRefused, post, func() []row { return nil }, ""},
		"acknowledged and not stored": {fateAcknowledged, post, func() []row { return nil }, "lost"},
		"refused and stored":          {fateRefused, post, func() []row { return []row{good} }, "stored against its word"},
		"cut off and stored":          {fateUnsent, post, func() []row { return []row{good} }, "stored against its word"},
		"nobody sent it": {fateAcknowledged, post, func() []row {
			return []row{good, {id: event.UUID{2}}}
		}, "nobody sent it"},
		"an event twice": {fateAcknowledged, post, func() []row {
			r := good
			r.indexes = 2
			return []row{r}
		}, "twice"},
		"the ledger counts otherwise": {fateAcknowledged, post, func() []row {
			r := good
			r.accepted = 2
			return []row{r}
		}, "ledger"},
		"an event is missing": {fateAcknowledged, post, func() []row {
			r := good
			r.accepted, r.events, r.indexes = 2, 2, 2
			return []row{r}
		}, "in part"},
		"an event in quarantine": {fateAcknowledged, post, func() []row {
			r := good
			r.accepted, r.events, r.indexes, r.rejected, r.refusedHere, r.rejectedIdx = 2, 2, 2, 2, 1, 2
			return []row{r}
		}, ""},
		"a rejection is missing": {fateAcknowledged, post, func() []row {
			r := good
			r.rejected, r.refusedEdge, r.rejectedIdx = 0, 0, 0
			return []row{r}
		}, "in part"},
		"a rejection twice": {fateAcknowledged, post, func() []row {
			r := good
			r.refusedEdge = 2
			return []row{r}
		}, "ledger in part"},
		"a report":         {fateAcknowledged, sim.Post{}, func() []row { return []row{{id: id, reports: 1}} }, ""},
		"a report missing": {fateAcknowledged, sim.Post{}, func() []row { return []row{{id: id}} }, "report"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.entries[id] = &entry{id: id, post: test.post, fate: test.fate}
			var found findings
			l.compare(test.rows(), &found)
			var kinds []string
			for _, line := range found.all() {
				kind, _, _ := strings.Cut(line, ": ")
				kinds = append(kinds, kind)
			}
			if got := strings.Join(kinds, " "); got != test.want {
				t.Errorf("found %q, want %q: %v", got, test.want, found.all())
			}
		})
	}
}

// TestLedger_GivenUp lets poses go of batches that arrived on a day that is over,
// once they were seen to be gone, and nothing else.
func TestLedger_GivenUp(t *testing.T) {
	t.Parallel()
	run, err := sim.New(sim.Options{Seed: 1, Headsets: 1, Start: time.Now().Add(-time.Hour), Duration: sim.ShortestRun})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	var whole, less []row
	expired, poses := true, 0
	for post := range run.Posts() {
		id, err := l.plan(post, expired)
		if err != nil {
			t.Fatal(err)
		}
		e := l.entries[id]
		e.fate = fateAcknowledged
		if (e.poses != nil) != expired || post.Repeat {
			t.Fatalf("poses %v of a batch, repeated: %t", e.poses, post.Repeat)
		}
		n := 0
		for _, of := range e.poses {
			n += int(of)
		}
		poses += n
		r := row{id: id, accepted: post.Accepted, rejected: post.Rejected, refusedEdge: post.Rejected, rejectedIdx: post.Rejected, events: post.Accepted, indexes: post.Accepted}
		if post.Accepted+post.Rejected == 0 {
			r.reports = 1
		}
		whole = append(whole, r)
		r.events, r.indexes = r.events-n, r.events-n
		less = append(less, r)
		expired = !expired
	}
	wrong := func(rows []row) int {
		var found findings
		l.compare(rows, &found)
		return len(found.all())
	}
	if poses == 0 || wrong(whole) > 0 || wrong(less) == 0 {
		t.Errorf("before: %d findings with all rows, %d without %d of them", wrong(whole), wrong(less), poses)
	}
	if got := l.giveUp(); got != poses || l.giveUp() != 0 {
		t.Errorf("%d rows given up, want %d", got, poses)
	}
	if wrong(whole) == 0 || wrong(less) > 0 {
		t.Errorf("afterwards: %d findings with all rows, %d without %d of them", wrong(whole), wrong(less), poses)
	}
	sum := 0
	for _, n := range l.gone(less) {
		sum += int(n)
	}
	if sum != poses {
		t.Errorf("%d rows of all sessions, want %d", sum, poses)
	}
}

// TestCompareDamaged wants what was confirmed kept once, and nothing else kept.
func TestCompareDamaged(t *testing.T) {
	t.Parallel()
	sent := map[string]bool{"sure": true, "perhaps": false}
	for kept, want := range map[string]int{
		"sure": 0, "sure perhaps": 0, "perhaps": 1, "sure sure": 1, "sure other": 1, "sure perhaps perhaps": 1,
	} {
		if got := compareDamaged(sent, strings.Fields(kept)); len(got) != want {
			t.Errorf("%q kept: %v, want %d findings", kept, got, want)
		}
	}
}

// TestStand_TakesEachExpiredDayOnce stays between the two retentions.
func TestStand_TakesEachExpiredDayOnce(t *testing.T) {
	t.Parallel()
	var s stand
	before := -usualRetention - slackDays*oneDay
	for {
		offset, ok := s.takeExpiredDay()
		if !ok {
			break
		}
		if offset != before-oneDay || !s.expires {
			t.Errorf("%s after %s", offset, before)
		}
		before = offset
	}
	if before <= -longRetention+oneDay || before > -longRetention+3*oneDay || s.expiredDays < 20 {
		t.Errorf("%d days, the last is %s", s.expiredDays, before)
	}
}

// TestLedger_FateOnlyGrows keeps the best that was heard of a batch: a repeat
// that is refused does not take back what was acknowledged.
func TestLedger_FateOnlyGrows(t *testing.T) {
	t.Parallel()
	l := newLedger()
	run, err := sim.New(sim.Options{Seed: 1, Headsets: 1, Start: time.Now().Add(-time.Hour), Duration: sim.ShortestRun})
	if err != nil {
		t.Fatal(err)
	}
	for post := range run.Posts() {
		first, err := l.plan(post, false)
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.plan(post, false)
		if err != nil || again != first {
			t.Fatalf("the same bytes are named %s and %s: %v", first, again, err)
		}
		for _, f := range []fate{fateOpen, fateAcknowledged, fateRefused, fateUnsent} {
			l.attempted(first, f)
		}
		if got := l.entries[first].fate; got != fateAcknowledged {
			t.Errorf("the fate of %s is %d, want acknowledged", first, got)
		}
	}
	if len(l.entries) == 0 {
		t.Fatal("nobody posted")
	}
}

// TestDiffer names what is stored and not true, and what is true and not stored.
func TestDiffer(t *testing.T) {
	t.Parallel()
	var found findings
	differ("looks", tallies{"sofa": 2, "lamp": 1, "same": 3}, tallies{"sofa": 3, "same": 3, "door": 1}, &found)
	want := []string{`looks: "door": 1 stored, 0 true`, `looks: "lamp": 0 stored, 1 true`, `looks: "sofa": 3 stored, 2 true`}
	if got := found.all(); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
