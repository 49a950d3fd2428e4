package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ReaderConfig says how the read API reaches the database and how long it waits.
type ReaderConfig struct {
	// URL is a PostgreSQL connection string, of a primary or of a standby. It may
	// hold a password and appears in no log line and no error.
	URL string
	// MaxConns bounds the pool.
	MaxConns int
	// StatementTimeout ends one statement.
	StatementTimeout time.Duration
}

// Reader is the database as the read API uses it: sessions that cannot write,
// statements that end. Every read names its tenant. It is safe for concurrent
// use; [Reader.Run] tells [Reader.Ready] how the database is.
type Reader struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu sync.Mutex // guards what follows
	// answered is when the database was last known to answer.
	answered time.Time
	// suitable says that the schema was found to be this program's.
	suitable bool
	failing  bool
}

// OpenReader makes the pool. It does not connect: a database that is away shows
// in Ready, and in the reads. The caller closes the Reader.
func OpenReader(ctx context.Context, config ReaderConfig, log *slog.Logger) (*Reader, error) {
	bounds := Config{
		URL: config.URL, MaxConns: config.MaxConns, StatementTimeout: config.StatementTimeout,
		// A read takes no lock that it could wait for but that of a migration.
		LockTimeout: config.StatementTimeout / 2, IdleTimeout: config.StatementTimeout,
	}
	switch {
	case bounds.URL == "":
		return nil, errors.New("postgres: no database URL")
	case bounds.MaxConns < 1 || bounds.StatementTimeout < 10*time.Millisecond:
		return nil, errors.New("postgres: a reader needs a connection and time")
	}
	pc, err := poolConfig(bounds)
	if err != nil {
		return nil, err
	}
	settings := pc.ConnConfig.RuntimeParams
	settings["application_name"] = "nexero-query"
	// Whatever role it is given: what is read here is not written here.
	settings["default_transaction_read_only"] = "on"
	pool, err := newPool(ctx, pc)
	if err != nil {
		return nil, err
	}
	return &Reader{pool: pool, log: log}, nil
}

// Close waits for reads in progress and closes the pool.
func (r *Reader) Close() { r.pool.Close() }

const (
	// lookEvery lies between two looks at the database, lookTimeout bounds one.
	lookEvery   = 500 * time.Millisecond
	lookTimeout = 2 * time.Second
	// answeredFor is how long an answer counts: while every connection is busy
	// with reads that take their time, a look gets none.
	answeredFor = 5 * time.Second
)

// errNoAnswer is why a Reader is not ready. The cause names hosts and goes to
// the log.
var errNoAnswer = errors.New("the database does not answer")

// Ready says why reads cannot be served now, or nil. It does not wait.
func (r *Reader) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.suitable || r.failing || time.Since(r.answered) > answeredFor {
		return errNoAnswer
	}
	return nil
}

// Run looks at the database until ctx ends, for Ready. It returns an error when
// the first look finds a schema that is not this program's: nothing but an
// operator changes that. A schema that moves on later is a rolling upgrade.
func (r *Reader) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.look(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look asks the database for its schema, or whether it is there. The error is a
// schema that does not fit.
func (r *Reader) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var problem error
	err := r.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) (err error) {
		if r.isSuitable() {
			return conn.Ping(ctx)
		}
		problem, err = schemaProblem(ctx, conn)
		return err
	})
	if problem != nil {
		return problem
	}
	r.note(ctx, err)
	return nil
}

func (r *Reader) isSuitable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.suitable
}

// note keeps how a look ended, and logs a change.
func (r *Reader) note(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		if r.failing {
			r.log.LogAttrs(ctx, slog.LevelInfo, "database answers again")
		}
		r.answered, r.suitable, r.failing = time.Now(), true, false
		return
	}
	// Without a connection within the time: away, or all busy. Reads that are
	// answered tell the difference.
	if errors.Is(err, context.DeadlineExceeded) && time.Since(r.answered) < answeredFor || r.failing || errors.Is(err, context.Canceled) {
		return
	}
	r.failing = true
	r.log.LogAttrs(ctx, slog.LevelWarn, "database does not answer", slog.Any("error", err))
}

// read runs do in a transaction that sees one snapshot and cannot write.
func (r *Reader) read(ctx context.Context, do func(tx pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if err := pgx.BeginTxFunc(ctx, r.pool, options, do); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = time.Now()
	return nil
}

// Rejections is [Store.Rejections] for one tenant.
func (r *Reader) Rejections(ctx context.Context, f RejectionFilter) (page []Rejection, next RejectionCursor, err error) {
	if f.EveryTenant {
		return nil, next, fmt.Errorf("%w: one tenant at a time", ErrRejectionFilter)
	}
	err = r.read(ctx, func(tx pgx.Tx) error {
		page, next, err = readRejections(ctx, tx, f)
		return err
	})
	return page, next, err
}

// TookTooLong reports whether err is of a read that the database might have
// answered in more time, rather than of a database that is away.
func TookTooLong(err error) bool {
	if pgErr, answered := errors.AsType[*pgconn.PgError](err); answered {
		return pgErr.Code == "57014"
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return !connecting && errors.Is(err, context.DeadlineExceeded)
}
