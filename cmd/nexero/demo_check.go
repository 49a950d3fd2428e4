package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/sim"
)

// check holds the views against what was invented, tour by tour, so that what
// others post in the meantime does not matter.
func (d *demo) check(ctx context.Context, store *postgres.Store, tenant string, tours *player) error {
	if tours.surprises > 0 {
		d.line("  %s    %d answers are not what they must be, the first: %s\n", d.look.alarm("WRONG"), tours.surprises, tours.firstSurprise)
		return nil
	}
	truth := tours.ledger.Truth()
	keys := make([]event.UUID, len(truth.Sessions))
	for i := range truth.Sessions {
		keys[i] = event.SessionKey(tenant, truth.Sessions[i].NormalID)
	}
	tallies, err := store.TallySessions(ctx, keys)
	if err != nil {
		return err
	}
	wrong, first, visits := 0, "", 0
	for i := range truth.Sessions {
		visits += len(truth.Sessions[i].Visits)
		if found := differs(&truth.Sessions[i], tallies[keys[i]]); found != "" {
			if wrong++; wrong == 1 {
				first = found
			}
		}
	}
	if wrong > 0 {
		d.line("  %s    %d of %d tours differ from what was invented, the first: %s\n", d.look.alarm("WRONG"), wrong, len(keys), first)
		return nil
	}
	d.line("  %s  every one of %s events is counted, and every one of %s\n           visits of a room is in its place\n",
		d.look.good("checked"), count(truth.Accepted), count(visits))
	return nil
}

// differs says how a session's views differ from the truth, "" when they do not.
func differs(truth *sim.Session, tally postgres.SessionTally) string {
	zones := make([]string, len(truth.Visits))
	for i := range truth.Visits {
		zones[i] = truth.Visits[i].Zone
	}
	switch {
	case tally.Events != int64(truth.Accepted):
		return fmt.Sprintf("session %s has %d events, not %d", truth.ID, tally.Events, truth.Accepted)
	case !slices.Equal(zones, tally.Zones):
		return fmt.Sprintf("session %s has the visits %v, not %v", truth.ID, tally.Zones, zones)
	default:
		return ""
	}
}
