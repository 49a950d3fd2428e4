package postgres_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// sealingFold is fold for sessions that are sealed, or to be.
func sealingFold(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
	var open []*facts.Claim
	for _, c := range claims {
		if !c.Sealed {
			open = append(open, c)
		}
	}
	if err := fold(open, whole); err != nil {
		return err
	}
	for _, c := range claims {
		state := c.Result.State
		if c.Sealed {
			state = c.State
			state.Absorb(facts.Of(c.Events, c.Reports))
		}
		if c.ForgetPath {
			state.ForgetPath()
		}
		f := state.Facts()
		c.Result = facts.Result{Due: c.Now, State: state, Facts: f, Contributed: f.Contributions(c.Properties[f.PropertyID]), RecomputeAt: c.Now}
	}
	return nil
}

// archive is a database that has kept days for longer than it should.
type archive struct {
	*fixture
	// past accepts what was received up to 500 days ago.
	past *postgres.Store
	// loaded counts the events that were.
	loaded int
}

func setupArchive(t *testing.T) *archive {
	t.Helper()
	f := setup(t)
	const long = 500 * 24 * time.Hour
	return &archive{fixture: f, past: f.open(postgres.Config{PoseRetention: long, EventRetention: long})}
}

// visit is a batch of a session received days ago, by a headset that was offline
// for long: two poses and a turn, a minute after those received a day before.
func visit(session string, days int) *builder {
	b := batch(fmt.Sprint(session, "-", days)).at(received.AddDate(0, 0, -days)).poses(0, 1).with(event.Event{Index: 2, Type: event.Turn})
	b.Sessions = []event.Session{{Key: event.SessionKey("acme", session), ClientID: session}}
	for i := range b.Events {
		b.Events[i].OccurredAt = event.MicrosOf(received.AddDate(0, 0, -600).Add(time.Duration(500-days)*time.Minute + time.Duration(i)*time.Second))
	}
	return b
}

func (a *archive) visits(batches ...*builder) {
	a.Helper()
	for _, b := range batches {
		a.loadWith(a.past, b)
		a.loaded += len(b.Events)
	}
}

func poseDay(days int) facts.Expired {
	return facts.Expired{Partition: "events_pose_" + dayName(-days), Poses: true}
}

func otherDay(days int) facts.Expired {
	return facts.Expired{Partition: "events_other_" + dayName(-days)}
}

// seal seals until nothing is left.
func (a *archive) seal(expired facts.Expired) {
	a.Helper()
	for range 100 {
		rolled, err := a.store.SealSessions(a.Context(), expired, 2, sealingFold)
		if err != nil {
			a.Fatal(err)
		}
		if rolled.Claimed == 0 {
			return
		}
	}
	a.Fatal("there is always something to seal")
}

// retain gives up all that is expired.
func (a *archive) retain() {
	a.Helper()
	expired, err := a.store.Expired(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	for _, e := range expired {
		a.seal(e)
		if err := a.store.Drop(a.Context(), e); err != nil {
			a.Fatal(err)
		}
	}
}

// wantCounted checks that each event that was ever loaded is in the aggregates
// once, as sealed or unsealed facts say.
func (a *archive) wantCounted() {
	a.Helper()
	a.want("SELECT count(*) FROM nexero.session_touches", "0")
	a.want("SELECT sum(events)::bigint FROM rollup.events_hourly", strconv.Itoa(a.loaded))
	a.want("SELECT sum(events)::bigint, sum(over_limit)::bigint FROM nexero.session_facts", fmt.Sprint(a.loaded, " 0"))
	a.want("SELECT count(*) FROM nexero.session_facts f WHERE NOT sealed AND events <> (SELECT count(*) FROM nexero.events e WHERE e.session_no = f.session_no)", "0")
	a.wantExact()
}

func (a *archive) wantGone(expired facts.Expired) {
	a.Helper()
	a.want("SELECT to_regclass('nexero."+expired.Partition+"') IS NULL, count(*) FROM pg_inherits WHERE inhdetachpending", "true 0")
}

func TestExpired(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	conn, err := pgx.Connect(t.Context(), a.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, days := range []int{29, 30, 31, 32, 33, 396, 397, 398} {
		for _, table := range []string{"events_pose", "events_other", "rejected_events"} {
			if err := postgres.AttachDay(t.Context(), conn, table, time.Now().AddDate(0, 0, -days)); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := dayName(-32)
	// What an interrupted drop left counts; what others made does not.
	a.exec("ALTER TABLE nexero.events_pose DETACH PARTITION nexero.events_pose_" + old)
	a.exec("ALTER TABLE nexero.rejected_events DETACH PARTITION nexero.rejected_events_" + old)
	a.exec("ALTER TABLE nexero.rejected_events_" + old + " RENAME TO rejected_events_" + old + "_kept")
	for _, table := range []string{"events_pose_20200101", "events_pose_2020010", "batches_20200101", "events_other_20200230"} {
		a.exec("CREATE TABLE nexero." + table + " (LIKE nexero.events)")
	}
	a.exec("COMMENT ON TABLE nexero.events_pose_2020010 IS 'Part of nexero.events_pose: events received on the day 2020-01-01 UTC.'")
	a.exec("CREATE TABLE nexero.mine (LIKE nexero.events) PARTITION BY RANGE (received_at)")
	a.exec("CREATE TABLE nexero.events_other_20200101 PARTITION OF nexero.mine FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')")

	rejectedDay := func(days int) facts.Expired {
		return facts.Expired{Partition: "rejected_events_" + dayName(-days), Rejections: true}
	}
	want := []facts.Expired{
		otherDay(398), poseDay(398), rejectedDay(398), poseDay(397), rejectedDay(397), poseDay(396), rejectedDay(396),
		poseDay(33), rejectedDay(33), poseDay(32),
	}
	// A remembered time decides nothing.
	a.store.PretendTime(time.Now().AddDate(1, 0, 0))
	got, err := a.store.Expired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// rule 2, rule 4: what is dropped stays counted, and what comes later is added.
func TestDrop_AfterSealing(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("over", 40), visit("long", 40), visit("long", 39), visit("long", 3), visit("new", 2))
	a.roll(a.store)
	a.visits(visit("never-rolled-up", 40), visit("over", 39))
	a.seal(poseDay(40))
	a.want("SELECT client_id, sealed, path_kept FROM nexero.session_facts JOIN nexero.sessions USING (session_no) ORDER BY 1",
		"long true false", "never-rolled-up true false", "new false true", "over true false")
	for _, days := range []int{40, 39} {
		if err := a.store.Drop(t.Context(), poseDay(days)); err != nil {
			t.Fatal(err)
		}
		a.wantGone(poseDay(days))
	}
	// Other events stay, with or without the poses beside them.
	a.want("SELECT event_type, count(*) FROM nexero.events GROUP BY 1 ORDER BY 1", "1 4", "10 7")
	a.visits(visit("over", 1), visit("long", 1), visit("new", 1))
	a.rollSealed()
	a.wantCounted()
	a.want("SELECT count(*) FROM nexero.session_facts WHERE sealed", "3")
	// Again is nothing.
	if err := a.store.Drop(t.Context(), poseDay(40)); err != nil {
		t.Fatal(err)
	}
	a.retain()
	a.wantCounted()
}

func (a *archive) rollSealed() {
	a.Helper()
	for range 100 {
		rolled, err := a.store.RollSessions(a.Context(), 0, 64, sealingFold)
		if err != nil {
			a.Fatal(err)
		}
		if rolled.Claimed == 0 {
			return
		}
	}
	a.Fatal("there is always something to roll up")
}

// Days of other events are given up much later, and the path is not theirs.
func TestDrop_OtherEvents(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	b := visit("quiet", 398)
	b.Events = b.Events[2:]
	a.visits(b, visit("new", 1))
	a.wantRefused(otherDay(398), "1 sessions")
	a.seal(otherDay(398))
	a.want("SELECT sealed, path_kept FROM nexero.session_facts", "true true")
	a.retain()
	a.want("SELECT count(*), count(DISTINCT session_no) FROM nexero.events", "3 1")
	a.rollSealed()
	a.wantCounted()
}

func TestDrop_RejectedEvents(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("new", 1))
	conn, err := pgx.Connect(t.Context(), a.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, days := range []int{31, 32} {
		if err := postgres.AttachDay(t.Context(), conn, "rejected_events", time.Now().AddDate(0, 0, -days)); err != nil {
			t.Fatal(err)
		}
		a.loadWith(a.past, batch(fmt.Sprint("bad-", days)).at(received.AddDate(0, 0, -days)).rejected(event.InvalidText, 0))
		a.exec("UPDATE nexero.rejected_events SET written_at = received_at WHERE received_at < now() - interval '30 days'")
	}
	a.want("SELECT count(DISTINCT tableoid) FROM nexero.rejected_events", "2")
	a.retain()
	a.want("SELECT tableoid::regclass::text, count(*) FROM nexero.rejected_events GROUP BY 1", "nexero.rejected_events_"+dayName(-31)+" 1")
	a.wantExact()
}

// A batch that is kept can have rows that are not: a repeat of it that was
// received before and loaded after it.
func TestVerify_LeavesOutRowsOfRepeatsThatWereDropped(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(batch("a").at(received.AddDate(0, 0, -20)).poses(0).rejected(event.InvalidNumber, 1))
	a.loadWith(a.past, batch("a").again("stuck in the queue").at(received.AddDate(0, 0, -40)).poses(0, 1))
	a.want(storedEvents, "0", "1")
	a.wantExact()
	a.retain()
	a.want(storedEvents, "0")
	a.wantExact()
	a.exec("DELETE FROM nexero.batch_repeats")
	if v, err := a.store.Verify(t.Context()); err != nil || v.Exact() {
		t.Errorf("verify does not miss rows that nobody dropped: %v", err)
	}
}

func (a *archive) wantRefused(expired facts.Expired, why string) {
	a.Helper()
	err := a.store.Drop(a.Context(), expired)
	if err == nil || !strings.Contains(err.Error(), why) {
		a.Errorf("drop %s: got %v, want %q", expired.Partition, err, why)
	}
}

func TestDrop_Refuses(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 40), visit("b", 40), visit("c", 40), visit("c", 5))
	before := a.everything()
	a.wantRefused(poseDay(40), "3 sessions")
	a.roll(a.store)
	a.wantRefused(poseDay(40), "3 sessions")
	a.wantRefused(poseDay(5), "not old enough")
	a.wantRefused(poseDay(31), "not old enough")
	for _, name := range []string{"sessions", "events_pose", "events_pose_20200101; DROP TABLE nexero.sessions", "Events_pose_20200101"} {
		a.wantRefused(facts.Expired{Partition: name}, "no partition of ours")
	}
	before["session_touches"] = before["session_touches"][:0]
	a.wantSame(before)
	a.seal(poseDay(40))
	// Rows in a sealed session's name that are in nobody's facts yet.
	a.visits(visit("b", 40).again("late").renamed("late"))
	a.wantRefused(poseDay(40), "1 sessions")
	a.seal(poseDay(40))
	a.retain()
	a.rollSealed()
	a.wantGone(poseDay(40))
	a.wantCounted()
}

// renamed makes b a batch of its own, of the same session.
func (b *builder) renamed(name string) *builder {
	b.ID, b.Digest = id("batch", name), event.DigestOf(name)
	return b
}

// Nothing is sealed in a table that is detached: its rows would be missing.
func TestDrop_TakesBackWhatIsNotSealed(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 40), visit("b", 40))
	a.roll(a.store)
	a.exec("ALTER TABLE nexero.events_pose DETACH PARTITION nexero." + poseDay(40).Partition)
	// A batch from before all others folds the session anew, as far as it is there.
	early := visit("a", 39)
	for i := range early.Events {
		early.Events[i].OccurredAt -= 600_000_000
	}
	a.visits(early)
	a.roll(a.store)
	a.seal(poseDay(40))
	a.want("SELECT count(*) FROM nexero.session_facts WHERE sealed", "0")
	a.wantRefused(poseDay(40), "2 sessions")
	a.retain()
	a.wantGone(poseDay(40))
	a.wantCounted()
}

// A worker that has seen the partition refuses the day once it is dropped, even
// if its clock stood still for a while.
//
// rule 5
func TestLoad_OfADroppedDayIsPutAside(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	worker := a.open(postgres.Config{})
	worker.PretendTime(time.Now().AddDate(0, 0, -5))
	a.loadWith(worker, visit("a", 33))
	a.loaded += 3
	a.retain()
	a.wantGone(poseDay(33))
	late := oneBatch(t, visit("b", 33))
	a.wantRetry(<-a.loadAside(t.Context(), worker, late))
	a.wantGone(poseDay(33))
	result, err := worker.Load(t.Context(), late)
	if err != nil || result.Quarantined != 1 {
		t.Errorf("got %+v %v, want the batch put aside", result, err)
	}
	a.want("SELECT DISTINCT code FROM nexero.rejected_events", string(event.ReceivedTooOld))
	a.wantGone(poseDay(33))
}

// rule 2: any number of workers keep retention at once, while others load.
func TestDrop_ByManyAtOnce(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	for days := 32; days < 36; days++ {
		a.visits(visit("a", days), visit("b", days), visit(fmt.Sprint("only-", days), days))
	}
	var group sync.WaitGroup
	for range 3 {
		other := &archive{fixture: &fixture{TB: t, url: a.url, db: a.db, store: a.open(postgres.Config{})}}
		group.Go(func() {
			expired, err := other.store.Expired(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, e := range expired {
				other.seal(e)
				if err := other.store.Drop(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 20 {
		b := visit("a", 1).renamed(fmt.Sprint("meanwhile-", i))
		a.loaded += len(b.Events)
		if _, err := a.store.Load(t.Context(), oneBatch(t, b)); err != nil {
			t.Error(err)
		}
		if _, err := a.store.RollSessions(t.Context(), 0, 64, sealingFold); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	a.rollSealed()
	for days := 32; days < 36; days++ {
		a.wantGone(poseDay(days))
	}
	a.wantCounted()
}
