package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// maxNamed is how many rows PostgreSQL may name as bad before the search gets
// finer: each costs sending all the others again.
const maxNamed = 3

// copyRows stores the rows of the gather. PostgreSQL names the first row that
// it refuses; that row is put aside and the rest sent again. After maxNamed of
// them every batch goes alone, so that one client's rows cost that client's
// batch only, and in a batch with as many again every row goes alone.
func (l *load) copyRows(ctx context.Context) error {
	crashpoint.At(crashpoint.LoadBeforeCopy)
	c := &copier{load: l, before: setSavepoint}
	done, err := c.copyNaming(ctx, l.rows)
	if err == nil && !done {
		err = c.copyByBatch(ctx, l.rows)
	}
	if err == nil {
		err = c.finish(ctx)
	}
	l.store.metrics.retries.Add(float64(max(c.copies-1, 0)))
	if err != nil {
		return err
	}
	crashpoint.At(crashpoint.LoadCopied)
	l.settleRows()
	return nil
}

// copyByBatch copies the rows of one delivery after the other. They lie side by
// side, in the order of the gather.
func (c *copier) copyByBatch(ctx context.Context, rows []pendingRow) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].delivery == rows[0].delivery {
			n++
		}
		done, err := c.copyNaming(ctx, rows[:n])
		if err != nil {
			return err
		}
		if !done {
			if err := c.copyByRow(ctx, rows[:n]); err != nil {
				return err
			}
		}
		rows = rows[n:]
	}
	return nil
}

// copyByRow cannot blame the wrong row, whatever the server's errors say. It
// costs a round trip a row, at most as many as a batch can have.
func (c *copier) copyByRow(ctx context.Context, rows []pendingRow) error {
	for i := range rows {
		pgErr, err := c.try(ctx, rows[i:i+1])
		if err != nil {
			return err
		}
		if pgErr != nil {
			c.load.refuse(&rows[i], pgErr)
		}
	}
	return nil
}

// copyNaming copies rows, without those that PostgreSQL names as bad. done is
// false, and nothing is stored, when it named too many or none.
func (c *copier) copyNaming(ctx context.Context, rows []pendingRow) (done bool, err error) {
	for named := 0; ; named++ {
		pgErr, err := c.try(ctx, rows)
		if err != nil || pgErr == nil {
			return err == nil, err
		}
		bad := namedRow(pgErr, rows)
		if bad == nil || named == maxNamed {
			return false, nil
		}
		crashpoint.At(crashpoint.LoadRefused)
		c.load.refuse(bad, pgErr)
	}
}

// try copies rows. refused is PostgreSQL's word against one of them.
func (c *copier) try(ctx context.Context, rows []pendingRow) (refused *pgconn.PgError, err error) {
	err = c.copy(ctx, rows)
	refused = dataError(err)
	if refused == nil {
		return nil, err
	}
	if c.load.conn.IsClosed() {
		// Whatever it says of the row, it was the connection.
		return nil, &classedError{class: ClassRetry, err: err}
	}
	for _, table := range []string{posesTable, othersTable} {
		if isNoPartition(err, table) {
			if err := c.checkPartition(ctx, table, namedRow(refused, rows), err); err != nil {
				return nil, err
			}
		}
	}
	return refused, nil
}

// checkPartition tells a row with a wrong time of receipt from a partition that
// somebody dropped: then all rows of the day are good, and the load has to be
// repeated after the partition was made again.
func (c *copier) checkPartition(ctx context.Context, table string, bad *pendingRow, cause error) error {
	if bad == nil {
		return nil
	}
	if err := c.finish(ctx); err != nil {
		return err
	}
	attached, err := partitionAttached(ctx, c.load.conn, table, bad.delivery.day)
	if err != nil || attached {
		return err
	}
	// The day may be one that retention has dropped. Then the remembered time is
	// wrong as well, and the repeated load refuses the batch.
	c.load.store.memory.days.forget()
	c.load.store.memory.clock.Store(nil)
	return &classedError{class: ClassRetry, err: fmt.Errorf("partition of %s is gone: %w", bad.delivery.day, cause)}
}

// isNoPartition reports whether err is a row of table without a partition.
func isNoPartition(err error, table string) bool {
	pgErr := dataError(err)
	return pgErr != nil && pgErr.Code == "23514" && pgErr.ConstraintName == "" && pgErr.TableName == table
}

// namedRow returns the row that pgErr speaks of, or nil when it names none.
func namedRow(pgErr *pgconn.PgError, rows []pendingRow) *pendingRow {
	line := lineOf(pgErr.Where)
	for i := range rows {
		if rows[i].refused {
			continue
		}
		if line--; line == 0 {
			return &rows[i]
		}
	}
	return nil
}

// lineOf returns the number in "COPY events, line 12, column zone", or 0. The
// words may be in any language, and the lines before it quote the client.
func lineOf(where string) int {
	last := where[strings.LastIndexByte(where, '\n')+1:]
	isNoDigit := func(r rune) bool { return r < '0' || r > '9' }
	digits := strings.TrimLeftFunc(last, isNoDigit)
	if end := strings.IndexFunc(digits, isNoDigit); end >= 0 {
		digits = digits[:end]
	}
	line, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return line
}

// columnOf returns the column of a COPY that pgErr speaks of, or "".
func columnOf(pgErr *pgconn.PgError) string {
	if pgErr.ColumnName != "" {
		return pgErr.ColumnName
	}
	last := pgErr.Where[strings.LastIndexAny(pgErr.Where, " \n")+1:]
	if slices.Contains(strings.Split(envelope.Columns, ", "), last) {
		return last
	}
	return ""
}

// refuse puts a row aside. It stays refused whatever happens to the others.
func (l *load) refuse(bad *pendingRow, pgErr *pgconn.PgError) {
	bad.refused = true
	l.rejectRow(bad.delivery, bad.row, refusedCode, refusalOf(pgErr))
}

// settleRows counts what was stored: for the sessions, and in the ledger where
// that differs from what the edge counted.
func (l *load) settleRows() {
	// The edge counted late and corrected events over everything that it
	// accepted. A batch that lost a row is counted again from what is left.
	recount := make(map[*entry]bool)
	for i := range l.rows {
		if d := l.rows[i].delivery; l.rows[i].refused && d.owns() {
			recount[d.entry] = true
		}
	}
	for e := range recount {
		e.accepted, e.late, e.corrected = 0, 0, 0
	}
	for i := range l.rows {
		r := &l.rows[i]
		if r.refused {
			continue
		}
		d := r.delivery
		d.touched[r.row.Session()] = true
		l.result.Rows++
		if !d.owns() {
			l.result.Added++
		}
		if recount[d.entry] || !d.owns() {
			d.entry.countRow(d, r.row)
		}
	}
}

// owns reports whether d is what its ledger row was made from.
func (d *delivery) owns() bool { return d.entry.fresh && d.entry.receipt == d.batch.ReceiptID }

const lateAfter = event.Micros(event.LateAfter / time.Microsecond)

// countRow adds a stored row to the ledger's counts.
func (e *entry) countRow(d *delivery, row envelope.Row) {
	e.dirty = true
	e.accepted++
	// A row that was stored decodes; one that does not would count as on time.
	decoded, err := row.Event()
	if err != nil {
		return
	}
	if d.batch.ReceivedAt-decoded.OccurredAt > lateAfter {
		e.late++
	}
	if decoded.ClockShiftMS != 0 {
		e.corrected++
	}
}
