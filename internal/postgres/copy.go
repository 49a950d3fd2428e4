package postgres

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
)

// pendingRow is a row that will be stored, or refused.
type pendingRow struct {
	row      envelope.Row
	delivery *delivery
	refused  bool
}

const copyEvents = "COPY nexero.events (" + envelope.Columns + ") FROM STDIN (FORMAT binary)"

// copyHeader begins a binary COPY: signature, no flags, no extension. The end
// of the stream serves as the trailer.
const copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// rowReader is the stream of a COPY. It writes rows straight into the buffer
// that goes to the socket, with their batch and session numbers filled in.
//
// pgconn reads it on a goroutine of its own that can outlive CopyFrom when the
// connection breaks. close waits for a read that is under way, after which the
// rows' memory is the caller's again.
type rowReader struct {
	mu     sync.Mutex
	rows   []pendingRow
	rest   []byte // what did not fit into the last read
	closed bool
}

var errReaderClosed = errors.New("postgres: the rows were taken away")

func newRowReader(rows []pendingRow) *rowReader {
	return &rowReader{rows: rows, rest: []byte(copyHeader)}
}

// Read fills p with whole rows as long as they fit.
func (r *rowReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errReaderClosed
	}
	crashpoint.At(crashpoint.LoadInCopy)
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	for len(r.rest) == 0 && len(r.rows) > 0 && n < len(p) {
		next := &r.rows[0]
		r.rows = r.rows[1:]
		if next.refused {
			continue
		}
		d := next.delivery
		batchNo, sessionNo := d.entry.batchNo, d.sessions[next.row.Session()]
		if len(next.row) <= len(p)-n {
			n = len(next.row.AppendTo(p[:n], batchNo, sessionNo))
			continue
		}
		r.rest = next.row.AppendTo(nil, batchNo, sessionNo)
		copied := copy(p[n:], r.rest)
		n, r.rest = n+copied, r.rest[copied:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *rowReader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.rows, r.rest = true, nil, nil
}

// copier runs COPY commands of one transaction, each behind the savepoint
// "rows". The statement that sets or rolls back the savepoint travels with the
// COPY, so it costs no round trip.
type copier struct {
	load *load
	// before is what the next COPY needs first.
	before string
	// copies counts the commands sent.
	copies int
}

const (
	setSavepoint   = "SAVEPOINT rows; "
	resetSavepoint = "ROLLBACK TO SAVEPOINT rows; "
	nextSavepoint  = "RELEASE SAVEPOINT rows; SAVEPOINT rows; "
)

// copy stores those of rows that are not refused. After an error that
// PostgreSQL answered, nothing of them is stored and the transaction goes on
// with the next copy or with finish.
func (c *copier) copy(ctx context.Context, rows []pendingRow) error {
	want := int64(0)
	for i := range rows {
		if !rows[i].refused {
			want++
		}
	}
	if want == 0 {
		return nil
	}
	c.copies++
	reader := newRowReader(rows)
	// The simple protocol takes several statements at once; COPY is the last,
	// so that the tag is its own.
	tag, err := c.load.conn.PgConn().CopyFrom(ctx, reader, c.before+copyEvents)
	reader.close()
	if err != nil {
		c.before = resetSavepoint
		return err
	}
	c.before = nextSavepoint
	if got := tag.RowsAffected(); got != want {
		return rowCountError(got, want)
	}
	return nil
}

// finish leaves the transaction usable when the last copy failed.
func (c *copier) finish(ctx context.Context) error {
	if c.before != resetSavepoint {
		return nil
	}
	_, err := c.load.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT rows")
	return err
}
