package config

import (
	"errors"
	"fmt"
	"time"
)

// Query is the configuration of the read API. Settings that others have too are
// the same here: a test compares them.
type Query struct {
	Process  Process
	Log      Log
	Queue    Queue        `require:"nats_url"`
	Database ReadDatabase `require:"database_url"`
	Front    ReadFront
	Exposure Exposure
	Rates    Rates
	Reading  Reading
}

// ReadDatabase is the PostgreSQL server as the read API knows it.
type ReadDatabase struct {
	URL ConnURL `name:"database_url" help:"PostgreSQL, as postgres://user:password@host/database or in the keyword form."`
}

// ReadFront is how clients reach the read API.
type ReadFront struct {
	Listen          string `name:"listen" default:"127.0.0.1:8080" check:"address" help:"Address for clients."`
	AnonymousTenant string `name:"anonymous_tenant" check:"tenant" help:"Tenant that requests without a key post for; empty: they are refused."`
}

// Reading bounds what the read API asks of the database.
type Reading struct {
	MaxConns         int           `name:"read_max_conns" default:"8" min:"1" max:"1000" help:"Most connections to PostgreSQL that the read API opens."`
	StatementTimeout time.Duration `name:"read_statement_timeout" default:"5s" min:"100ms" max:"1m" help:"Longest statement of a read."`
	RequestTimeout   time.Duration `name:"read_request_timeout" default:"10s" min:"100ms" max:"2m" help:"How long a read may take in all, until it is answered 503; not below read_statement_timeout."`
	MaxInFlight      int           `name:"max_reads_in_flight" default:"64" min:"1" max:"10000" help:"Most reads in progress; more are refused with 503."`
	AnonymousRead    bool          `name:"anonymous_read" help:"Let requests without a key read the data of anonymous_tenant; in development only."`
}

// Validate reports time limits that contradict each other.
func (r *Reading) Validate() error {
	if r.RequestTimeout < r.StatementTimeout {
		return fmt.Errorf("%s is %s, below %s with %s",
			title("read_request_timeout"), r.RequestTimeout, title("read_statement_timeout"), r.StatementTimeout)
	}
	return nil
}

// Validate reports a read API that is more open than its environment allows.
func (q *Query) Validate() error {
	var errs []error
	if q.Reading.AnonymousRead && q.Process.Environment != Development {
		errs = append(errs, fmt.Errorf("%s lets anybody read: it is for %s only, and this is %s",
			title("anonymous_read"), Development, q.Process.Environment))
	}
	return errors.Join(append(errs, q.Exposure.checkProduction(&q.Process))...)
}

// Query returns the part of u that the read API has.
func (u *Up) Query() Query {
	return Query{
		Process: u.Process, Log: u.Log, Queue: u.Queue, Database: ReadDatabase{URL: u.Database.URL}, Reading: u.Reading,
		Front:    ReadFront{Listen: u.HTTP.Listen, AnonymousTenant: u.HTTP.AnonymousTenant},
		Exposure: u.Exposure, Rates: u.Rates,
	}
}
