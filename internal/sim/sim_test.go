package sim

import (
	"cmp"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/recording"
)

// bytesOf is everything of posts that is sent.
func bytesOf(posts iter.Seq[Post]) []recording.Request {
	var all []recording.Request
	for post := range posts {
		all = append(all, post.Request)
	}
	return all
}

func same(a, b recording.Request) bool {
	return a.AtMS == b.AtMS && a.Method == b.Method && a.Path == b.Path && a.Body == b.Body && maps.Equal(a.Headers, b.Headers)
}

func TestRun_FollowsFromItsOptions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		options := Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Headsets: rapid.IntRange(1, 3).Draw(t, "headsets"),
			Duration: 40 * time.Second, Habits: Usual(),
		}
		first := bytesOf(newRun(t, options).Posts())
		if !slices.EqualFunc(first, bytesOf(newRun(t, options).Posts()), same) {
			t.Fatalf("the same options give other posts")
		}
		options.Headsets++
		more := newRun(t, options)
		var separate []Post
		for number := range options.Headsets {
			last := int64(0)
			for post := range more.Headset(number) {
				if post.AtMS < last || post.Headset != number {
					t.Fatalf("headset %d: a post of headset %d at %d ms comes after one at %d ms", number, post.Headset, post.AtMS, last)
				}
				last = post.AtMS
				separate = append(separate, post)
			}
			if number == options.Headsets-2 && len(separate) != len(first) {
				t.Fatalf("%d posts, with one more headset the others send %d", len(first), len(separate))
			}
		}
		slices.SortStableFunc(separate, func(a, b Post) int { return cmp.Compare(a.AtMS, b.AtMS) })
		if !slices.EqualFunc(bytesOf(slices.Values(separate)), bytesOf(more.Posts()), same) {
			t.Fatalf("headsets together send other posts than headsets alone")
		}
	})
}

func TestRun_StopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	run := newRun(t, Options{Headsets: 3, Duration: 4 * time.Minute, Habits: Usual()})
	all := bytesOf(run.Posts())
	for _, n := range []int{1, 20, len(all) - 1} {
		var ledger Ledger
		var some []recording.Request
		for post := range run.Posts() {
			if len(some) == n {
				break
			}
			some = append(some, post.Request)
			ledger.Add(post)
		}
		if !slices.EqualFunc(all[:n], some, same) {
			t.Errorf("the first %d posts are others", n)
		}
		if truth := ledger.Truth(); truth.Requests != n {
			t.Errorf("the truth of %d posts tells of %d", n, truth.Requests)
		}
	}
}

// walks are the poses of each tour, as walked and not as told.
func walks(t *testing.T, run *Run) map[[2]int][]event.Event {
	t.Helper()
	recounted := newRecount(atOnce(run))
	all := map[[2]int][]event.Event{}
	for post := range run.Posts() {
		recounted.add(t, post)
		s := post.said.session
		normal, _ := event.NormaliseSessionID(s.id)
		all[[2]int{s.headset, s.tour}] = recounted.sessions[normal].poses
	}
	return all
}

// A headset that repeats itself does not move its wearer.
func TestHabits_ChangeNoWalk(t *testing.T) {
	t.Parallel()
	options := Options{Seed: 5, Headsets: 3, Duration: 4 * time.Minute}
	tame := walks(t, newRun(t, options))
	options.Habits = Habits{Retry: 0.3, Duplicate: 0.3, Bad: 0.05}
	for tour, want := range walks(t, newRun(t, options)) {
		got := tame[tour]
		if len(got) != len(want) || len(got) == 0 {
			t.Errorf("tour %v: %d poses, then %d", tour, len(want), len(got))
			continue
		}
		for i := range want {
			if want[i].X != got[i].X || want[i].Y != got[i].Y || want[i].Yaw != got[i].Yaw || want[i].OccurredAt != got[i].OccurredAt {
				t.Errorf("tour %v, pose %d: %+v, then %+v", tour, i, want[i], got[i])
				break
			}
		}
	}
}

// Another day is other sessions of the same walks.
func TestStart_IsAnotherDay(t *testing.T) {
	t.Parallel()
	options := Options{Seed: 5, Headsets: 3, Duration: 3 * time.Minute, Habits: Usual(), Start: opening}
	before := bytesOf(newRun(t, options).Posts())
	options.Start = opening.Add(24 * time.Hour)
	after := bytesOf(newRun(t, options).Posts())
	if len(before) != len(after) {
		t.Fatalf("%d posts, then %d", len(before), len(after))
	}
	for i := range before {
		if before[i].AtMS != after[i].AtMS || before[i].SessionID() == after[i].SessionID() {
			t.Fatalf("post %d: %s at %d, then %s at %d", i, before[i].SessionID(), before[i].AtMS, after[i].SessionID(), after[i].AtMS)
		}
	}
}

func TestRun_NothingHappensBehindItsEnd(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 10, 100} {
		run := newRun(t, Options{Seed: 8, Headsets: 2, Duration: 2 * time.Minute, Rate: rate, Habits: Habits{LateUpload: 0.5, Offline: 0.02, Retry: 0.1}})
		truth, _ := checkTruth(t, run, atOnce(run))
		for _, s := range truth.Sessions {
			if s.LastMS > run.startMS+run.endMS || s.FirstMS < run.startMS {
				t.Errorf("%d poses a second: a session lasts from %d to %d of %d ms", rate, s.FirstMS-run.startMS, s.LastMS-run.startMS, run.endMS)
			}
		}
		last := bytesOf(run.Posts())
		if at := time.Duration(last[len(last)-1].AtMS) * time.Millisecond; at > 17*time.Minute {
			t.Errorf("the last post is made at %s", at)
		}
	}
}

// The other oracle of recordings, which shares no line with this package, reads
// what headsets without habits send.
func TestRecording_OfTameHeadsetsIsAsExpected(t *testing.T) {
	t.Parallel()
	run := newRun(t, Options{Seed: 2, Headsets: 4, Duration: 5 * time.Minute, Habits: Habits{Retry: 0.05, Duplicate: 0.02}})
	path := filepath.Join(t.TempDir(), "tame.jsonl.gz")
	writer, err := recording.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var ledger Ledger
	for post := range run.Posts() {
		ledger.Add(post)
		if err := writer.Write(post.Request); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := recording.Expect(path)
	if err != nil {
		t.Fatal(err)
	}
	truth := ledger.Truth()
	if truth.Requests != want.Requests || truth.Repeats != want.Repeats || truth.Accepted != want.Events || len(truth.Sessions) != len(want.Sessions) {
		t.Errorf("truth %+v, expected %d requests, %d repeats, %d events, %d sessions", truth.Totals, want.Requests, want.Repeats, want.Events, len(want.Sessions))
	}
	looks := map[string]int64{}
	bySession := map[string]recording.Session{}
	for _, s := range want.Sessions {
		normal, _ := event.NormaliseSessionID(s.ID)
		bySession[normal] = s
	}
	for _, s := range truth.Sessions {
		for _, l := range s.Looks {
			looks[l.Target] += l.MS
		}
		got := recording.Session{
			ID: bySession[s.NormalID].ID, Start: s.StartMS / 1000, End: s.EndMS / 1000, Customer: s.Customer, Property: s.Property, Events: s.Accepted,
		}
		if diff := gocmp.Diff(bySession[s.NormalID], got); diff != "" {
			t.Errorf("headset %d, tour %d (-expected +truth):\n%s", s.Headset, s.Tour, diff)
		}
	}
	if diff := gocmp.Diff(want.LookTimeMS, looks); diff != "" {
		t.Errorf("look time (-expected +truth):\n%s", diff)
	}
}

func TestNew_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	good := Options{Headsets: 1, Duration: time.Minute}
	for _, test := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Headsets = 0 }, "0 headsets"},
		{func(o *Options) { o.Duration = time.Second }, "too short"},
		{func(o *Options) { o.Rate = 101 }, "101 poses"},
		{func(o *Options) { o.Habits.Crash = 1.5 }, "probabilities"},
	} {
		options := good
		test.change(&options)
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q in it", err, test.want)
		}
	}
}
