package ingest

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

func drawState() *rapid.Generator[sessionState] {
	return rapid.Custom(func(t *rapid.T) sessionState {
		s := unknownState()
		at := rapid.Int64Range(int64(event.Earliest), int64(event.Latest))
		if rapid.Bool().Draw(t, "has start") {
			s.start = event.Micros(at.Draw(t, "start"))
		}
		if rapid.Bool().Draw(t, "has end") {
			s.end = event.Micros(at.Draw(t, "end"))
		}
		if rapid.Bool().Draw(t, "has seen") {
			s.seen = event.Micros(at.Draw(t, "seen"))
		}
		return s
	})
}

// Replicas write in any order, more than once, and through the bucket's bytes:
// the result is one. // rule 2
func TestState_AnyOrderOfMergesGivesOneResult(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.SliceOfN(drawState(), 1, 8).Draw(t, "said")
		want := unknownState()
		for _, s := range said {
			want = want.merge(s)
		}
		// Another order, some twice, and some merged with each other first.
		order := append(append([]sessionState{}, said...), said[:rapid.IntRange(0, len(said)).Draw(t, "repeated")]...)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		half := rapid.IntRange(0, len(order)).Draw(t, "half")
		got := fold(t, order[:half]).merge(fold(t, order[half:]))
		if got != want {
			t.Fatalf("one order gives %+v, another %+v", want, got)
		}
	})
}

// fold merges states as the bucket does, through its bytes.
func fold(t *rapid.T, states []sessionState) sessionState {
	var value []byte
	for _, s := range states {
		stored, err := decodeState(value)
		if err != nil {
			t.Fatal(err)
		}
		value = stored.merge(s).encode()
	}
	state, err := decodeState(value)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// What is known never becomes less, and what is left out is only that a session
// was seen again.
func TestState_MovesForwardOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, news := drawState().Draw(t, "state"), drawState().Draw(t, "news")
		after := s.merge(news)
		if after.start > s.start || after.end < s.end || after.seen < s.seen || s.ended() && !after.ended() {
			t.Fatalf("%+v became %+v", s, after)
		}
		if after.merge(s) != after || after.merge(news) != after {
			t.Fatalf("%+v is changed by what it holds", after)
		}
		if s.covers(news) && (after.start != s.start || after.end != s.end || after.seen-s.seen >= touchEvery) {
			t.Fatalf("%+v is said to cover %+v", s, news)
		}
	})
}

func TestState_Status(t *testing.T) {
	t.Parallel()
	const now = event.Micros(1_763_800_000_000_000)
	minute := event.Micros(time.Minute / time.Microsecond)
	for name, tc := range map[string]struct {
		state sessionState
		want  string
	}{
		"nothing":              {unknownState(), "not_found"},
		"under way":            {sessionState{now - minute, noTime, now - minute}, "active"},
		"start unknown":        {sessionState{noStart, noTime, now}, "active"},
		"a moment before":      {sessionState{now - 90*minute, noTime, now - 30*minute + 1}, "active"},
		"silent for 30 min":    {sessionState{now - 90*minute, noTime, now - 30*minute}, "dropped"},
		"ended":                {sessionState{now - 90*minute, now - 60*minute, now - 60*minute}, "completed"},
		"ends in the future":   {sessionState{now, now + 5*minute, now}, "completed"},
		"end alone":            {sessionState{noStart, now, now}, "completed"},
		"ended, and seen late": {sessionState{now - 90*minute, now - 60*minute, now}, "completed"},
	} {
		if got := tc.state.status(now); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestDecodeState_Damaged(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"{", `"x"`, `{"start":"soon"}`, "\x00"} {
		if s, err := decodeState([]byte(value)); err == nil || s != unknownState() {
			t.Errorf("%q: %+v, %v", value, s, err)
		}
	}
	// A later version may know more.
	if s, err := decodeState([]byte(`{"start":5,"mood":"fine"}`)); err != nil || s.start != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}
