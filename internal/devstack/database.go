package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase makes an empty UTF-8 database on the server of url, whose user
// must be allowed to.
func CreateDatabase(ctx context.Context, url, name string) error {
	return CloneDatabase(ctx, url, "template0", name)
}

// CloneDatabase makes a database that is a copy of another one on the server of
// url. Nobody may be connected to the template meanwhile.
func CloneDatabase(ctx context.Context, url, template, name string) error {
	query := "CREATE DATABASE " + quoted(name) + " TEMPLATE " + quoted(template)
	if template == "template0" {
		query += " ENCODING 'UTF8' LOCALE 'C'"
	}
	if err := execute(ctx, url, query); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// DropDatabase removes a database from the server of url and cuts off who uses
// it. One that does not exist is no error.
func DropDatabase(ctx context.Context, url, name string) error {
	if err := execute(ctx, url, "DROP DATABASE IF EXISTS "+quoted(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// ensureDatabase makes the database nexero when it is missing.
func (p *Postgres) ensureDatabase(ctx context.Context) error {
	url, exists := p.DatabaseURL("postgres"), false
	err := withConn(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Database).Scan(&exists)
	})
	if err != nil || exists {
		return err
	}
	return CreateDatabase(ctx, url, Database)
}

func execute(ctx context.Context, url, query string) error {
	return withConn(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, query)
		return err
	})
}

// withConn runs do on a connection of its own.
func withConn(ctx context.Context, url string, do func(context.Context, *pgx.Conn) error) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	cfg.ConnectTimeout = connectTimeout
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, conn), conn.Close(ctx))
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
