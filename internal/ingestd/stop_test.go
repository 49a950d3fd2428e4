package ingestd

import (
	"testing"
	"time"
)

// The parts of a drain make up the time for it. // rule 10
func TestBudget(t *testing.T) {
	t.Parallel()
	for drain, want := range map[time.Duration]time.Duration{
		time.Second:      500 * time.Millisecond,
		2 * time.Second:  time.Second,
		4 * time.Second:  time.Second,
		20 * time.Second: 5 * time.Second,
	} {
		serving, commit := budget(drain)
		if commit != want || serving+commit != drain {
			t.Errorf("%s is divided into %s and %s", drain, serving, commit)
		}
		if i := (&Ingest{drain: drain}); i.StopDeadline() < drain+2*closeTimeout {
			t.Errorf("the stop of %s of draining may take %s", drain, i.StopDeadline())
		}
	}
}
