package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotDurable is a database that could lose what it has committed, or cannot
// be written or read as we must.
var ErrNotDurable = errors.New("postgres: the database is not safe to write to")

// ErrSchemaOlder is a database that lacks migrations of this program.
var ErrSchemaOlder = errors.New("postgres: the database's schema is older than this program")

// durability is what decides whether a COMMIT is worth an acknowledgement.
type durability struct {
	fsync, synchronousCommit, standbys string
	encoding                           string
	inRecovery, readOnly               bool
	version                            int
}

const durabilityQuery = `
SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
       current_setting('server_encoding'), pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean,
       current_setting('server_version_num')::integer`

// CheckDurable refuses a database that does not keep rule 3, as a session of
// ours sees it: roles and databases can have settings of their own. A worker
// calls it before its first load. The error lists everything that is wrong and
// what to do: ErrNotDurable, ErrSchemaOlder, ErrSchemaNewer, all ClassStop; or
// it is of the connection and tells nothing about the database.
func (s *Store) CheckDurable(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("postgres: check durability: %w", err)
	}
	defer conn.Release()
	var d durability
	if err := conn.QueryRow(ctx, durabilityQuery).Scan(&d.fsync, &d.synchronousCommit, &d.standbys,
		&d.encoding, &d.inRecovery, &d.readOnly, &d.version); err != nil {
		return fmt.Errorf("postgres: check durability: %w", err)
	}
	problems := d.problems(s.config.RequireSyncStandby)
	schema, err := schemaProblem(ctx, conn)
	if err != nil {
		return err
	}
	if err := errors.Join(append(problems, schema)...); err != nil {
		return &classedError{class: ClassStop, err: err}
	}
	return nil
}

// problems lists everything at once: whoever sets up a server wants to change
// its settings once.
func (d durability) problems(requireStandby bool) []error {
	var problems []error
	problem := func(found bool, format string, args ...any) {
		if found {
			problems = append(problems, fmt.Errorf("%w: %s", ErrNotDurable, fmt.Sprintf(format, args...)))
		}
	}
	problem(d.version < 150000, "it is version %d; PostgreSQL 15 or newer is needed", d.version/10000)
	problem(d.fsync != "on", "fsync is %s: a crash loses committed rows; set fsync = on in postgresql.conf", d.fsync)
	problem(slices.Contains([]string{"off", "local"}, d.synchronousCommit),
		"synchronous_commit is %s for this role: set it to on (ALTER ROLE or postgresql.conf)", d.synchronousCommit)
	problem(requireStandby && d.standbys == "",
		"a synchronous standby is required but synchronous_standby_names is empty: name one, or unset NEXERO_REQUIRE_SYNC_STANDBY")
	problem(d.encoding != "UTF8", "its encoding is %s: create the database with ENCODING 'UTF8'", d.encoding)
	problem(d.inRecovery, "it is a standby in recovery: point NEXERO_DATABASE_URL at the primary")
	problem(!d.inRecovery && d.readOnly, "default_transaction_read_only is on for this role: switch it off")
	return problems
}

// schemaProblem tells what is wrong with the schema's version from not being
// able to read it.
func schemaProblem(ctx context.Context, conn *pgxpool.Conn) (problem, err error) {
	newest, err := newestVersion()
	if err != nil {
		return nil, err
	}
	current, err := readVersion(ctx, conn.Conn())
	switch {
	case err != nil:
		return nil, err
	case current < newest:
		return fmt.Errorf("%w: it has version %d, version %d is needed; run `nexero migrate`", ErrSchemaOlder, current, newest), nil
	case current > newest:
		return newerSchema(current, newest), nil
	}
	return nil, nil
}
