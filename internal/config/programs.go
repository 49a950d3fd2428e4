package config

import (
	"log/slog"
	"time"
)

// Ingest is the configuration of the HTTP edge.
type Ingest struct {
	Process Process
	Log     Log
	Queue   Queue `require:"nats_url"`
	HTTP    HTTP
	Intake  Intake

	Exposure  Exposure
	Rates     Rates
	ByteRates ByteRates
}

// Worker is the configuration of the process that loads the queue into
// PostgreSQL and keeps facts and aggregates up to date.
type Worker struct {
	Process  Process
	Log      Log
	Queue    Queue    `require:"nats_url"`
	Database Database `require:"database_url"`
	Loading  Loading
	Rollup   Rollup
}

// Up is the configuration of all services in one process. Without a URL of a
// queue or a database it starts its own in the data directory.
type Up struct {
	Process  Process
	Log      Log
	Queue    Queue
	Database Database
	HTTP     HTTP
	Intake   Intake
	Loading  Loading
	Rollup   Rollup
	Local    Local `require:"data_dir"`
	Parts    Parts
	Exposure Exposure
	Rates    Rates
	Reading  Reading

	ByteRates ByteRates
}

// CLI is the configuration of the operator's commands. Without URLs they look
// for a running instance in the data directory.
type CLI struct {
	Log      Log
	Queue    Queue
	Database Database
	Local    Local `require:"data_dir"`
}

// Replay is the configuration of the operator's commands that judge events
// again: by the rules of the edge, so these must be the edge's.
type Replay struct {
	Log      Log
	Queue    Queue
	Database Database
	Local    Local `require:"data_dir"`
	Intake   Intake
}

// CLI returns the part of r that every command has.
func (r *Replay) CLI() *CLI {
	return &CLI{Log: r.Log, Queue: r.Queue, Database: r.Database, Local: r.Local}
}

// Ingest returns the part of u that the HTTP edge has.
func (u *Up) Ingest() Ingest {
	return Ingest{
		Process: u.Process, Log: u.Log, Queue: u.Queue, HTTP: u.HTTP, Intake: u.Intake,
		Exposure: u.Exposure, Rates: u.Rates, ByteRates: u.ByteRates,
	}
}

// Worker returns the part of u that the worker has.
func (u *Up) Worker() Worker {
	return Worker{Process: u.Process, Log: u.Log, Queue: u.Queue, Database: u.Database, Loading: u.Loading, Rollup: u.Rollup}
}

// Process is what every long-running program has.
type Process struct {
	Environment   string        `name:"environment" default:"development" oneof:"development,staging,production" help:"Where this runs; in every log line and in the API keys that are made."`
	MetricsListen string        `name:"metrics_listen" check:"address" help:"Address for /metrics, /livez, /readyz and profiles, apart from clients' traffic; empty: off."`
	DrainTimeout  time.Duration `name:"drain_timeout" default:"20s" min:"1s" max:"10m" help:"How long work in progress may take to end after SIGTERM; what is not done by then is left to the queue."`

	Telemetry Telemetry
}

// Log is how a program logs.
type Log struct {
	Level  slog.Level `name:"log_level" default:"info" reload:"true" help:"Lowest level that is logged: debug, info, warn, error."`
	Format string     `name:"log_format" default:"auto" oneof:"auto,tint,json" help:"Form of a log line; auto is tint on a terminal and json elsewhere."`
}

// Queue is the NATS server and the stream on it. Ingest and worker must agree
// on it: the one that starts last brings the stream into line.
type Queue struct {
	URL            ConnURL       `name:"nats_url" help:"NATS server, or several separated by commas: nats://host:4222."`
	CredsFile      string        `name:"nats_creds" check:"file" help:"File with the credentials for NATS; empty: none."`
	Replicas       int           `name:"queue_replicas" default:"1" oneof:"1,3" help:"Servers that hold each message: 1, or 3 in a cluster."`
	MaxBytes       Bytes         `name:"queue_max_bytes" default:"4GiB" min:"16MiB" help:"Size at which the queue refuses new messages; leave room on the store for the key buckets."`
	AckWait        time.Duration `name:"queue_ack_wait" default:"30s" min:"5s" max:"10m" help:"How long a worker may be silent about a message before another gets it."`
	RequestTimeout time.Duration `name:"queue_request_timeout" default:"5s" min:"100ms" max:"1m" help:"How long to wait for an answer of the NATS server to anything but a publish."`
}

// Database is the PostgreSQL server.
type Database struct {
	URL                ConnURL       `name:"database_url" help:"PostgreSQL, as postgres://user:password@host/database or in the keyword form."`
	MaxConns           int           `name:"database_max_conns" default:"12" min:"2" max:"1000" help:"Most connections that this process opens."`
	RequireSyncStandby bool          `name:"require_sync_standby" help:"Refuse to load unless PostgreSQL waits for a synchronous standby at COMMIT."`
	StatementTimeout   time.Duration `name:"database_statement_timeout" default:"15s" min:"1s" help:"Longest statement of a load; below queue_ack_wait."`
	LockTimeout        time.Duration `name:"database_lock_timeout" default:"5s" min:"10ms" help:"Longest wait for a lock in a load; below database_statement_timeout."`
	IdleTimeout        time.Duration `name:"database_idle_timeout" default:"10s" min:"1s" help:"Longest pause inside a transaction; below queue_ack_wait."`
	PoseRetention      time.Duration `name:"pose_retention" default:"30d" min:"1d" max:"3650d" help:"How long raw poses are kept, the shortest retention: batches received longer ago are set aside, not loaded."`
	EventRetention     time.Duration `name:"event_retention" default:"396d" min:"1d" max:"3650d" help:"How long all other raw events are kept, not below pose_retention; aggregates stay."`
	SessionRetention   time.Duration `name:"session_retention" default:"396d" min:"7d" max:"3650d" help:"How long sessions, their visits, looks and reports are kept after the last of them was received, not below event_retention; aggregates stay."`
}

// HTTP is how clients reach the edge.
type HTTP struct {
	Listen          string        `name:"listen" default:"127.0.0.1:8080" check:"address" help:"Address for clients."`
	AnonymousTenant string        `name:"anonymous_tenant" check:"tenant" help:"Tenant that requests without a key post for; empty: they are refused."`
	RequestTimeout  time.Duration `name:"request_timeout" default:"10s" min:"100ms" max:"5m" help:"How long a request whose body was read waits for the queue before it is answered 503."`
	BodyTimeout     time.Duration `name:"body_timeout" default:"30s" min:"1s" max:"10m" help:"How long a client may take to send one body."`

	AnonymousInProduction bool `name:"anonymous_in_production" help:"Second switch: without it, production refuses to start with anonymous_tenant."`
	CORSCredentials       bool `name:"cors_credentials" help:"Let pages of cors_origins that post send cookies and client certificates along; API keys need no such thing."`
}

// Intake bounds what the edge accepts and holds.
type Intake struct {
	EventsPerRequest     int      `name:"max_events_per_request" default:"1000" min:"1" max:"32767" help:"Most events in one request."`
	BodyBytes            Bytes    `name:"max_body_bytes" default:"1MiB" min:"1KiB" max:"64MiB" help:"Largest body as sent."`
	InflatedBytes        Bytes    `name:"max_inflated_bytes" default:"4MiB" min:"1KiB" max:"256MiB" help:"Largest body after decompression."`
	EventBytes           Bytes    `name:"max_event_bytes" default:"16KiB" min:"256" max:"1MiB" help:"Largest single event."`
	StringBytes          Bytes    `name:"max_string_bytes" default:"1KiB" min:"16" max:"64KiB" help:"Longest name or id in an event."`
	Depth                int      `name:"max_event_depth" default:"8" min:"1" max:"100" help:"Deepest nesting in an event."`
	StrictTenants        []string `name:"strict_tenants" help:"Tenants whose events of an unknown type are rejected instead of stored as custom."`
	EnvelopeBytes        Bytes    `name:"envelope_bytes" default:"256KiB" min:"1KiB" max:"4MiB" help:"Size at which requests that share a message are sent without waiting for more."`
	MaxEnvelopesInFlight int      `name:"max_envelopes_in_flight" default:"16" min:"1" max:"1000" help:"Most messages on their way to the queue at once."`
	SessionStateBytes    Bytes    `name:"session_state_max_bytes" default:"256MiB" min:"1MiB" help:"Room on the NATS store for what clients may ask about their sessions; beyond it, and after 7 days, the oldest are forgotten."`
	MaxInFlightBytes     Bytes    `name:"max_in_flight_bytes" default:"128MiB" min:"1MiB" help:"Most bytes of requests in progress; more are refused with 503."`
}

// Loading is how the worker takes messages and writes them.
type Loading struct {
	Loops          int           `name:"worker_loops" default:"2" min:"1" max:"64" help:"Loops that each gather and write; one gathers while another writes."`
	GatherMessages int           `name:"gather_messages" default:"64" min:"1" max:"1000" help:"Most messages in one gather."`
	GatherBytes    Bytes         `name:"gather_bytes" default:"16MiB" min:"9MiB" max:"1GiB" help:"Most bytes in one gather; never below the queue's largest message."`
	GatherEvents   int           `name:"gather_events" default:"50000" min:"1" max:"1000000" help:"Most events in one transaction, unless a single message has more."`
	GatherAge      time.Duration `name:"gather_age" default:"20ms" min:"0s" max:"5s" help:"How long the first message of a gather waits for more."`
	LoadTimeout    time.Duration `name:"load_timeout" default:"20s" min:"1s" help:"Longest transaction; below queue_ack_wait."`
}

// Rollup is how facts and aggregates follow what was loaded.
type Rollup struct {
	Loops      int           `name:"rollup_loops" default:"1" min:"1" max:"64" help:"Loops that roll up sessions at the same time; customers have one more."`
	Interval   time.Duration `name:"rollup_interval" default:"2s" min:"100ms" max:"5m" help:"How long a live session is left alone after a roll-up: about how old its facts get."`
	Sessions   int           `name:"rollup_sessions" default:"64" min:"1" max:"10000" help:"Most sessions in one roll-up, which is one transaction."`
	Pause      time.Duration `name:"rollup_pause" default:"250ms" min:"10ms" max:"1m" help:"Time between roll-ups while few sessions are due."`
	YieldAfter time.Duration `name:"rollup_yield_after" default:"5s" min:"100ms" max:"24h" help:"Age of the oldest message in the queue beyond which roll-ups let loads go first."`
}

// Local is where a private instance lives.
type Local struct {
	DataDir string `name:"data_dir" check:"file" help:"Directory of a private instance; default: nexero in the user's state directory, for root /var/lib/nexero."`
}

// Parts is what only the all-in-one program has.
type Parts struct {
	Services []string `name:"services" default:"nats,postgres,ingest,worker,query" oneof:"nats,postgres,ingest,worker,query" help:"What to run in this process."`
	APIKey   Secret   `name:"api_key" help:"Key to accept; default: one that is made once and kept."`
	Demo     bool     `name:"demo" help:"Post invented tours once everything runs and print what became of them; not in production."`
}
