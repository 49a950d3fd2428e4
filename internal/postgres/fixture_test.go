package postgres_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestMain(m *testing.M) {
	// Each run of a property is dozens of transactions.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	testkit.Main(m)
}

// fixture is a Store on a database of its own.
type fixture struct {
	testing.TB
	url   string
	store *postgres.Store
	// db looks at the tables behind the Store's back.
	db *pgxpool.Pool
}

func setup(t testing.TB) *fixture {
	t.Helper()
	return setupWith(t, postgres.Config{})
}

func setupWith(t testing.TB, config postgres.Config) *fixture {
	t.Helper()
	f := &fixture{TB: t, url: testkit.Database(t)}
	f.store = f.open(config)
	db, err := pgxpool.New(t.Context(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f.db = db
	return f
}

// open returns another Store on the same database, as another worker has it.
func (f *fixture) open(config postgres.Config) *postgres.Store {
	f.Helper()
	if config.URL == "" {
		config.URL = f.url
	}
	store, err := postgres.Open(f.Context(), config, testkit.Logger(f), prometheus.NewRegistry())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(store.Close)
	return store
}

func (f *fixture) load(batches ...envelope.Batch) postgres.LoadResult {
	f.Helper()
	result, err := f.store.Load(f.Context(), batches)
	if err != nil {
		f.Fatalf("load: %v", err)
	}
	return result
}

// wantLoad loads and compares the result.
func (f *fixture) wantLoad(want postgres.LoadResult, batches ...envelope.Batch) {
	f.Helper()
	if diff := cmp.Diff(want, f.load(batches...)); diff != "" {
		f.Errorf("load result (-want +got):\n%s", diff)
	}
}

// wantExact checks every invariant that the Store itself can check.
func (f *fixture) wantExact() {
	f.Helper()
	v, err := f.store.Verify(f.Context())
	if err != nil {
		f.Fatalf("verify: %v", err)
	}
	if !v.Exact() {
		f.Errorf("verify found %d differences: %v", v.Differences, v.Named[:min(len(v.Named), 5)])
	}
}

func (f *fixture) exec(sql string, arguments ...any) {
	f.Helper()
	if _, err := f.db.Exec(f.Context(), sql, arguments...); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

// lines returns the query's rows as text, columns joined by spaces.
func (f *fixture) lines(sql string, arguments ...any) []string {
	f.Helper()
	rows, err := f.db.Query(f.Context(), sql, arguments...)
	if err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		fields := make([]string, len(values))
		for i, value := range values {
			fields[i] = fmt.Sprint(value)
		}
		return strings.Join(fields, " "), err
	})
	if err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
	return lines
}

func (f *fixture) want(sql string, want ...string) {
	f.Helper()
	if diff := cmp.Diff(want, f.lines(sql), cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

// begin starts a case on an empty database. Cases that share a database run one
// after the other; making one takes longer than most of them. Sessions stay,
// since a Store remembers them.
func (f *fixture) begin(name string) {
	f.Helper()
	f.Log("case:", name)
	for _, table := range storedTables {
		if table != "sessions" {
			f.exec("DELETE FROM nexero." + table)
		}
	}
	f.exec("DELETE FROM nexero.damaged_messages")
	f.exec("DELETE FROM rollup.data_quality_daily")
}

// storedTables are all tables that a load writes, but for the tenants, who stay.
var storedTables = []string{
	"batches", "batch_repeats", "sessions", "session_reports", "session_touches", "events", "rejected_events", "quality_changes",
}

func (f *fixture) wantEmpty() {
	f.Helper()
	for _, table := range storedTables {
		f.want("SELECT count(*) FROM nexero."+table, "0")
	}
}

// Queries on what was stored.
const (
	storedEvents   = "SELECT event_index FROM nexero.events ORDER BY event_index"
	storedRejected = "SELECT event_index, code, form FROM nexero.rejected_events ORDER BY event_index"
	storedLedger   = "SELECT accepted, late, corrected, rejected_indexes::text, rejected_codes::text FROM nexero.batches ORDER BY batch_no"
)

// received is a time of receipt today, the same for a whole test run.
var received = time.Now().UTC().Truncate(time.Second)

// id makes a UUID that names the parts.
func id(parts ...any) event.UUID { return event.NameUUID(fmt.Sprint(parts...)) }

// builder makes batches for one test.
type builder struct{ event.Batch }

// batch starts a batch of tenant "acme" with one session.
func batch(name string) *builder {
	return &builder{event.Batch{
		Tenant: "acme", ID: id("batch", name), Digest: event.DigestOf(name), ReceiptID: id("receipt", name),
		ReceivedAt: event.MicrosOf(received), CorrelationID: "correlation-" + name,
		Sessions: []event.Session{{Key: event.SessionKey("acme", "session-"+name), ClientID: "session-" + name}},
	}}
}

// again makes b a repeat: another receipt, a second later.
func (b *builder) again(name string) *builder {
	b.ReceiptID = id("receipt", name)
	b.ReceivedAt += event.MicrosOf(time.UnixMicro(1_000_000))
	return b
}

func (b *builder) at(t time.Time) *builder {
	b.ReceivedAt = event.MicrosOf(t)
	return b
}

func (b *builder) of(tenant string) *builder {
	b.Tenant = tenant
	for i := range b.Sessions {
		b.Sessions[i].Key = event.SessionKey(tenant, b.Sessions[i].ClientID)
	}
	return b
}

// other makes b other content under the same id.
func (b *builder) other() *builder {
	b.Digest = event.DigestOf("other")
	return b
}

// poses adds poses at these positions in the body.
func (b *builder) poses(indexes ...int) *builder {
	for _, index := range indexes {
		b.with(event.Event{
			Index: index, Type: event.Pose, OccurredAt: b.ReceivedAt - event.Micros(1000*(100-index)),
			Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldSeq, X: float32(index), Y: 2, Z: 3, Seq: int64(index),
		})
	}
	return b
}

func (b *builder) with(events ...event.Event) *builder {
	for _, e := range events {
		if e.OccurredAt == 0 {
			e.OccurredAt = b.ReceivedAt
		}
		b.Events = append(b.Events, e)
	}
	return b
}

func (b *builder) rejected(code event.Code, indexes ...int) *builder {
	for _, index := range indexes {
		b.Rejected = append(b.Rejected, event.Rejection{
			Index: index, Code: code, Field: "timestamp", Detail: "it is wrong", Raw: fmt.Sprintf(`{"n":%d}`, index),
		})
	}
	return b
}

func (b *builder) report(r event.Report) *builder {
	b.Report = &r
	return b
}

// seal sends b through an envelope, as the queue does.
func (b *builder) seal(t testing.TB) envelope.Batch {
	t.Helper()
	encoded, err := envelope.AppendBatch(nil, &b.Batch)
	if err != nil {
		t.Fatal(err)
	}
	var e envelope.Builder
	e.Add(encoded)
	batches, err := envelope.Open(e.Seal())
	if err != nil {
		t.Fatal(err)
	}
	return batches[0]
}

// sealed is a gather of one small batch.
func sealed(t testing.TB) []envelope.Batch {
	t.Helper()
	return []envelope.Batch{batch("small").poses(0).seal(t)}
}
