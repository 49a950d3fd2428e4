package query_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/query"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// keys are those that the tests' server knows: of two tenants, named as they are,
// and the caller's.
func keys(key string) (tenant, keyID string, err error) {
	if key == "acme" || key == "other" {
		return key, "key-of-" + key, nil
	}
	return caller.Authenticate(key)
}

// fixture is a read API on a database of its own.
type fixture struct {
	testing.TB
	url    string
	store  *postgres.Store
	reader *postgres.Reader
	server *query.Server
	now    func() time.Time
}

func setup(t testing.TB, options query.Options) *fixture {
	t.Helper()
	return setupAt(t, options, time.Now)
}

// setupAt is setup with a clock for the rates.
func setupAt(t testing.TB, options query.Options, now func() time.Time) *fixture {
	t.Helper()
	a := &fixture{TB: t, url: testkit.Database(t), now: now}
	var err error
	a.store, err = postgres.Open(t.Context(), postgres.Config{URL: a.url}, testkit.Logger(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.store.Close)
	a.open(a.url, options)
	// The first look has been made before a test begins.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		if a.reader.Ready() == nil {
			return a
		}
		<-tick.C
	}
	t.Fatal("the reader is never ready")
	return nil
}

// open makes the server on a database.
func (a *fixture) open(url string, options query.Options) {
	a.Helper()
	if options.MaxInFlight == 0 {
		options.MaxInFlight = 8
	}
	if options.RequestTimeout == 0 {
		options.RequestTimeout = 20 * time.Second
	}
	if options.MaxConnections == 0 {
		exposure := gate.DefaultExposure()
		exposure.CORSOrigins = options.CORSOrigins
		options.Exposure = exposure
	}
	if options.Rates.KeyRequests == 0 {
		// Tests ask as fast as they can, from one address.
		options.Rates = query.DefaultOptions().Rates
		options.Rates.AddressRequests, options.Rates.KeyRequests = 1e6, 1e6
	}
	var err error
	a.reader, err = postgres.OpenReader(a.Context(), postgres.ReaderConfig{URL: url, MaxConns: 4, StatementTimeout: 10 * time.Second}, testkit.Logger(a))
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(a.reader.Close)
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.reader.Run(ctx) }()
	a.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			a.Errorf("Run: %v", err)
		}
	})
	a.server, err = query.New(query.Deps{
		Reads: a.reader, Authenticate: keys, Log: testkit.Logger(a), Registerer: prometheus.NewRegistry(),
		Ready: map[string]func() error{"database": a.reader.Ready}, Version: "test", Now: a.now,
	}, options)
	if err != nil {
		a.Fatal(err)
	}
}

func (a *fixture) exec(sql string) {
	a.Helper()
	db, err := pgx.Connect(a.Context(), a.url)
	if err != nil {
		a.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(a.Context()))
	if _, err := db.Exec(a.Context(), sql); err != nil {
		a.Fatalf("%s: %v", sql, err)
	}
}

// load stores batches as a worker does.
func (a *fixture) load(batches ...*event.Batch) {
	a.Helper()
	var b envelope.Builder
	for _, one := range batches {
		encoded, err := envelope.AppendBatch(nil, one)
		if err != nil {
			a.Fatal(err)
		}
		b.Add(encoded)
	}
	opened, err := envelope.Open(b.Seal())
	if err != nil {
		a.Fatal(err)
	}
	if _, err := a.store.Load(a.Context(), opened); err != nil {
		a.Fatal(err)
	}
}

// rejected is a batch of a tenant with n rejected events.
func rejected(tenant, name string, code event.Code, n int) *event.Batch {
	b := &event.Batch{
		Tenant: tenant, ID: event.NameUUID(tenant, name), ReceiptID: event.NameUUID("receipt", name), ReceivedAt: event.MicrosOf(time.Now()),
		CorrelationID: "correlation-" + name, Sessions: []event.Session{{Key: event.SessionKey(tenant, name), ClientID: name}},
	}
	for i := range n {
		b.Rejected = append(b.Rejected, event.Rejection{Index: i, Code: code, Field: "f", Detail: "wrong", Raw: fmt.Sprintf(`{"n":%d}`, i)})
	}
	return b
}

func (a *fixture) request(method, target string, header ...string) caller.Answer {
	a.Helper()
	return a.requestFrom(caller.Here, method, target, header...)
}

func (a *fixture) requestFrom(address, method, target string, header ...string) caller.Answer {
	a.Helper()
	got := caller.Call(a, a.server.Handler(), address, method, target, "", header...)
	if len(got.Body) > 0 {
		a.wantDocumented(method, target, got.Status, got.Body)
	}
	return got
}

// get asks with the key of a tenant.
func (a *fixture) get(key, target string) caller.Answer {
	a.Helper()
	return a.request(http.MethodGet, target, "X-Api-Key", key)
}

func (a *fixture) wantProblem(what string, got caller.Answer, status int, code string) {
	a.Helper()
	if got.Status != status || got.Code() != code {
		a.Errorf("%s: %d %v, want %d %s", what, got.Status, got.JSON, status, code)
	}
}
