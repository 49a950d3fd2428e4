package postgres

import (
	"testing"
	"time"
)

func TestParseRawDay(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]rawDay{
		"events_pose_20250102":     {posesTable, dayOfTime(time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC))},
		"events_other_20250102":    {othersTable, dayOfTime(time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC))},
		"rejected_events_19691231": {rejectedTable, -1},
	} {
		if got, ok := parseRawDay(name); !ok || got != want || got.name() != name {
			t.Errorf("%s: got %v %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"", "events_pose", "events_pose_", "events_pose_20250230", "events_pose_2025010", "events_pose_20250102 ", "events_pose_20250102_old",
		"events_20250102", "batches_20250102", "EVENTS_POSE_20250102", "events_pose_20250102; DROP TABLE nexero.sessions",
	} {
		if got, ok := parseRawDay(name); ok {
			t.Errorf("%q: taken for %v", name, got)
		}
	}
}

// A day is dropped only when no load can still write to it: not one that began
// before midnight, nor one whose remembered time is a day behind.
func TestWindow_DropsOnlyWhatIsLongRefused(t *testing.T) {
	t.Parallel()
	const retention = 30 * 24 * time.Hour
	midnight := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{midnight, midnight.Add(time.Microsecond), midnight.Add(12 * time.Hour), midnight.Add(24*time.Hour - time.Microsecond)} {
		w := windowAt(now, retention)
		for d := w.oldest - 5; d < w.today; d++ {
			dropped := w.drops(d)
			if behind := windowAt(now.Add(-24*time.Hour), retention); dropped && behind.refuses(d) == "" {
				t.Errorf("at %s %s is dropped while a clock a day behind accepts it", now, d)
			}
			if kept := now.Sub((d + 1).start()); dropped && kept < retention+24*time.Hour {
				t.Errorf("at %s %s is dropped %s after its end", now, d, kept)
			}
			if kept := now.Sub((d + 1).start()); !dropped && kept > retention+48*time.Hour {
				t.Errorf("at %s %s is still there %s after its end", now, d, kept)
			}
		}
	}
}

func TestTrustClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		lead    time.Duration
		trusted bool
	}{
		{0, true}, {23 * time.Hour, true}, {25 * time.Hour, false}, {365 * 24 * time.Hour, false}, {-365 * 24 * time.Hour, true},
	} {
		if err := trustClock(now.Add(tt.lead), now); (err == nil) != tt.trusted {
			t.Errorf("a lead of %s: %v", tt.lead, err)
		}
	}
}
