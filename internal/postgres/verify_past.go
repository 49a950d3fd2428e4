package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/facts"
)

const pastCheck = "past contributions are in their row"

// pastPage is how many rows of past contributions are fetched together; each has
// up to some hundred kilobytes.
const pastPage = 50

const declarePast = `
DECLARE verify_past NO SCROLL CURSOR FOR
SELECT tenant_id, property_id, day - date '1970-01-01', contributions FROM nexero.past_contributions WHERE generation = %d`

// addPast adds what sessions and customers had contributed that are gone. Nothing
// is left to say what it must be but the aggregates themselves, which it is
// compared with in the end.
func (v *verifier) addPast(ctx context.Context) error {
	if _, err := v.conn.Exec(ctx, fmt.Sprintf(declarePast, v.generation)); err != nil {
		return err
	}
	type pastRow struct {
		pastKey
		contributions []byte
	}
	for {
		v.progress(Progress{"past", v.found.Past, 0})
		rows, err := v.conn.Query(ctx, fmt.Sprintf("FETCH %d FROM verify_past", pastPage))
		if err != nil {
			return err
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p pastRow, err error) {
			err = row.Scan(&p.tenant, &p.property, &p.day, &p.contributions)
			return p, err
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for i := range page {
			if err := v.addPastRow(ctx, page[i].pastKey, page[i].contributions); err != nil {
				return err
			}
		}
		v.found.Past += int64(len(page))
	}
}

func (v *verifier) addPastRow(ctx context.Context, key pastKey, stored []byte) error {
	contributed, err := facts.DecodeContributions(stored)
	if err != nil {
		v.differ(pastCheck, key.String(), "they cannot be read, so they are in no sum: %v", err)
		return nil
	}
	for i := range contributed {
		if is := pastKeyOf(key.tenant, &contributed[i]); is != key {
			v.differ(pastCheck, key.String(), "%s is of %s", rowText(&contributed[i].Key), is)
			break
		}
		// Each was added for a session or a customer: without one the aggregate
		// row goes, whatever else was added to it.
		if contributed[i].Refs <= 0 {
			v.differ(pastCheck, key.String(), "%s has refs %d", rowText(&contributed[i].Key), contributed[i].Refs)
			break
		}
	}
	return v.sums.add(ctx, key.tenant, contributed)
}
