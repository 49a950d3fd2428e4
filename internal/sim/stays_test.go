package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVisits(t *testing.T) {
	t.Parallel()
	enter := func(at int64, zone string) mark { return mark{at, zone, 0, true} }
	exit := func(at int64, zone string) mark { return mark{at, zone, 0, false} }
	upstairs := func(m mark) mark { m.level = 1; return m }
	for _, test := range []struct {
		name  string
		marks []mark
		want  []Visit
	}{
		{"through a door", []mark{enter(0, "hall"), exit(5000, "hall"), enter(5001, "bath"), exit(9000, "bath")}, []Visit{
			{"hall", 0, 0, 5000, "exit"}, {"bath", 0, 5001, 9000, "exit"},
		}},
		{"in another order", []mark{exit(9000, "bath"), enter(5001, "bath"), enter(0, "hall"), exit(5000, "hall")}, []Visit{
			{"hall", 0, 0, 5000, "exit"}, {"bath", 0, 5001, 9000, "exit"},
		}},
		{"a lost exit ends with the next enter", []mark{enter(0, "hall"), enter(4000, "bath")}, []Visit{
			{"hall", 0, 0, 4000, "next_enter"}, {"bath", 0, 4000, 20_000, "session_end"},
		}},
		{"not with one upstairs", []mark{enter(0, "hall"), upstairs(enter(4000, "landing")), upstairs(exit(6000, "landing"))}, []Visit{
			{"hall", 0, 0, 20_000, "session_end"}, {"landing", 1, 4000, 6000, "exit"},
		}},
		{"back within a second", []mark{enter(0, "hall"), exit(5000, "hall"), enter(6000, "hall"), exit(7000, "hall")}, []Visit{
			{"hall", 0, 0, 7000, "exit"},
		}},
		{"back later", []mark{enter(0, "hall"), exit(5000, "hall"), enter(6001, "hall"), exit(7000, "hall")}, []Visit{
			{"hall", 0, 0, 5000, "exit"}, {"hall", 0, 6001, 7000, "exit"},
		}},
		{"back after a lost exit", []mark{enter(0, "hall"), enter(5000, "bath"), exit(8000, "bath"), enter(8001, "hall")}, []Visit{
			{"hall", 0, 0, 5000, "next_enter"}, {"bath", 0, 5000, 8000, "exit"}, {"hall", 0, 8001, 20_000, "session_end"},
		}},
		{"an exit from nowhere", []mark{exit(1, "hall")}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, visits(test.marks, 20_000)); diff != "" {
				t.Errorf("visits (-want +got):\n%s", diff)
			}
		})
	}
}
