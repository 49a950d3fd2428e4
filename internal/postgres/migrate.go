package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"github.com/nexero-vr/nexero/migrations"
)

// versionTable holds the one number that says which migrations a database has.
// It lies outside schema nexero, which the first migration makes.
const versionTable = "public.nexero_schema_version"

// ErrSchemaNewer is a database that a newer program has migrated.
var ErrSchemaNewer = errors.New("postgres: the database's schema is newer than this program")

// Migrate brings the schema of the database at url to this program's version.
// Any number of callers may run at once: they wait for each other on an
// advisory lock, and those that come later find nothing to do. A migration and
// its version commit together. The error is ErrSchemaNewer when the database is
// ahead; nothing is ever migrated down.
func Migrate(ctx context.Context, url string, log *slog.Logger) (err error) {
	conn, err := connect(ctx, url, "nexero-migrate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	migrator, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fmt.Errorf("postgres: prepare migrations: %w", err)
	}
	if err := migrator.LoadMigrations(migrations.Files); err != nil {
		return fmt.Errorf("postgres: read migrations: %w", err)
	}
	current, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return fmt.Errorf("postgres: read the schema's version: %w", err)
	}
	newest := int32(len(migrator.Migrations))
	if current > newest {
		return newerSchema(current, newest)
	}
	migrator.OnStart = func(sequence int32, name, _, _ string) {
		log.InfoContext(ctx, "migrating the database", slog.Int("version", int(sequence)), slog.String("migration", name))
	}
	if err := migrator.MigrateTo(ctx, newest); err != nil {
		// Somebody newer may have migrated while we waited for the lock.
		if _, ok := errors.AsType[migrate.BadVersionError](err); ok {
			if current, err = migrator.GetCurrentVersion(ctx); err == nil {
				return newerSchema(current, newest)
			}
		}
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	log.InfoContext(ctx, "database is migrated", slog.Int("version", int(newest)))
	return nil
}

// SchemaVersion returns the version of the schema at url, 0 when there is none,
// and the newest that this program knows. It changes nothing.
func SchemaVersion(ctx context.Context, url string) (current, newest int32, err error) {
	newest, err = newestVersion()
	if err != nil {
		return 0, 0, err
	}
	conn, err := connect(ctx, url, "nexero-migrate")
	if err != nil {
		return 0, newest, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	current, err = readVersion(ctx, conn)
	return current, newest, err
}

func newestVersion() (int32, error) {
	names, err := migrate.FindMigrations(migrations.Files)
	if err != nil {
		return 0, fmt.Errorf("postgres: read migrations: %w", err)
	}
	return int32(len(names)), nil
}

// readVersion returns 0 for a database that was never migrated.
func readVersion(ctx context.Context, conn *pgx.Conn) (int32, error) {
	var migrated bool
	var version int32
	err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&migrated)
	if err == nil && migrated {
		err = conn.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("postgres: read the schema's version: %w", err)
	}
	return version, nil
}

func newerSchema(current, newest int32) error {
	return fmt.Errorf("%w: it has version %d, this program knows up to %d; install the newer program", ErrSchemaNewer, current, newest)
}

// connect opens a connection outside a pool. The caller closes it.
func connect(ctx context.Context, url, application string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errBadURL
	}
	config.RuntimeParams["application_name"] = application
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: connect: %w", err)
	}
	return conn, nil
}
