package postgres_test

import (
	"github.com/google/go-cmp/cmp"
)

// everything returns all that is stored, but for the touches, which a roll-up
// may take at any time, and times of writing.
func (f *fixture) everything() map[string][]string {
	f.Helper()
	state := make(map[string][]string)
	for table, columns := range map[string]string{
		"batches":         "to_jsonb(t) - 'written_at'",
		"batch_repeats":   "to_jsonb(t)",
		"sessions":        "to_jsonb(t)",
		"session_reports": "to_jsonb(t)",
		"session_touches": "to_jsonb(t)",
		"events":          "to_jsonb(t)",
		"rejected_events": "to_jsonb(t) - 'written_at'",
		"quality_changes": "to_jsonb(t)",
	} {
		state[table] = f.lines("SELECT (" + columns + ")::text FROM nexero." + table + " t ORDER BY 1")
	}
	return state
}

func (f *fixture) wantSame(before map[string][]string) {
	f.Helper()
	if diff := cmp.Diff(before, f.everything()); diff != "" {
		f.Errorf("the tables changed (-before +after):\n%s", diff)
	}
}
