package postgres

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/nexero-vr/nexero/internal/facts"
)

// ownContributions are what one row of facts has added.
type ownContributions struct {
	generation int16
	tenant     int32
	rows       facts.Contributions
}

// leaveDamagedPast leaves out the sessions whose contributions belong in a row
// that nothing can be added to: the others do not wait until somebody has
// restored it.
func (f *sessionForgetting) leaveDamagedPast(ctx context.Context) error {
	wanted := make(map[int16]map[pastKey]bool)
	for _, number := range f.deleted {
		for _, own := range f.added[number] {
			if wanted[own.generation] == nil {
				wanted[own.generation] = make(map[pastKey]bool)
			}
			for i := range own.rows {
				wanted[own.generation][pastKeyOf(own.tenant, &own.rows[i])] = true
			}
		}
	}
	for generation, keys := range wanted {
		damaged, err := findDamagedPast(ctx, f.conn, generation, slices.Collect(maps.Keys(keys)))
		if err != nil {
			return err
		}
		for key, cause := range damaged {
			f.store.log.ErrorContext(ctx, "sessions are kept longer than they should be: the past contributions that theirs belong to are damaged",
				slog.String("row", key.String()), slog.Int("sessions", f.leave(generation, key)), slog.Any("error", cause))
		}
	}
	return nil
}

// leave leaves out the sessions with contributions that belong in a row, and
// returns how many.
func (f *sessionForgetting) leave(generation int16, key pastKey) int {
	before := len(f.deleted)
	f.deleted = slices.DeleteFunc(f.deleted, func(number int64) bool {
		return slices.ContainsFunc(f.added[number], func(own ownContributions) bool {
			return own.generation == generation &&
				slices.ContainsFunc(own.rows, func(row facts.Row) bool { return pastKeyOf(own.tenant, &row) == key })
		})
	})
	return before - len(f.deleted)
}

// keep adds what the deleted sessions have contributed to what is past.
func (f *sessionForgetting) keep(ctx context.Context) error {
	past := make(map[int16]tenantLists)
	for _, number := range f.deleted {
		for _, own := range f.added[number] {
			if past[own.generation] == nil {
				past[own.generation] = make(tenantLists)
			}
			past[own.generation].add(own.tenant, own.rows)
		}
	}
	for _, generation := range slices.Sorted(maps.Keys(past)) {
		if err := keepPast(ctx, f.conn, generation, past[generation].sums()); err != nil {
			return err
		}
	}
	return nil
}
