package unreal

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestDecoder_Again(t *testing.T) {
	t.Parallel()
	const second = event.Micros(1_000_000)
	received := event.MicrosOf(time.Date(2025, 11, 22, 8, 0, 0, 0, time.UTC)) // 1763798400
	base := Rejected{Tenant: "acme", Index: 7, Session: "s", ReceivedAt: received, Now: received + 3600*second}
	for _, test := range []struct {
		name   string
		change func(*Rejected)
		code   event.Code // "" when accepted
		at     event.Micros
		shift  int64
		err    error
	}{
		{
			name:   "accepted by now",
			change: func(r *Rejected) { r.Raw = `{"event_type":"cta","timestamp":1763798390}` }, at: received - 10*second,
		},
		{
			name:   "the future has come",
			change: func(r *Rejected) { r.Raw = `{"event_type":"cta","timestamp":1763802000}` }, at: received + 3600*second,
		},
		{
			name:   "still in the future",
			change: func(r *Rejected) { r.Raw = `{"event_type":"cta","timestamp":1763802061}` }, code: event.TimestampInFuture,
		},
		{
			name:   "still bad",
			change: func(r *Rejected) { r.Raw = `{"event_type":"cta"}` }, code: event.MissingTimestamp,
		},
		{
			name:   "no object",
			change: func(r *Rejected) { r.Raw = `5` }, code: event.NotAnObject,
		},
		{
			name:   "its batch's session is not known",
			change: func(r *Rejected) { r.Raw, r.Session = `{"event_type":"cta","timestamp":1763798390}`, "" }, code: event.MissingSession,
		},
		{
			name: "a clock that was ahead",
			change: func(r *Rejected) {
				r.Raw, r.AheadMS = `{"event_type":"cta","timestamp":1763805600}`, -7200_500
			},
			at: received - 500*second/1000, shift: -7200_500,
		},
		{
			name: "a dead clock keeps its distance from the others",
			change: func(r *Rejected) {
				r.Raw, r.DeadMS = `{"event_type":"cta","timestamp":100}`, 1763798400_000-160_000
			},
			at: received - 60*second, shift: 1763798400_000 - 160_000,
		},
		{
			name: "a dead clock, newer than the others",
			change: func(r *Rejected) {
				r.Raw, r.DeadMS = `{"event_type":"cta","timestamp":100}`, 1763798400_000-50_000
			},
			at: received, shift: 1763798400_000 - 100_000,
		},
		{
			name:   "a dead clock, alone",
			change: func(r *Rejected) { r.Raw = `{"event_type":"cta","timestamp":100}` }, at: received, shift: 1763798400_000 - 100_000,
		},
		{name: "cut", change: func(r *Rejected) { r.Raw = `{"event_type":"ct` }, err: ErrCut},
		{name: "none", change: func(r *Rejected) { r.Raw = "" }, err: ErrCut},
		{name: "more than one", change: func(r *Rejected) { r.Raw = `1],"session_id":"other","events":[2` }, err: ErrCut},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := base
			test.change(&r)
			var b event.Batch
			err := NewDecoder(event.DefaultLimits(), nil).Again(r, &b)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			switch {
			case test.err != nil:
			case test.code != "":
				if len(b.Events) != 0 || len(b.Rejected) != 1 || b.Rejected[0].Code != test.code || b.Rejected[0].Index != 7 {
					t.Errorf("%+v, want %s at 7", b, test.code)
				}
			case len(b.Events) != 1 || len(b.Rejected) != 0:
				t.Errorf("%+v, want one event", b)
			default:
				e := b.Events[0]
				if e.Index != 7 || e.OccurredAt != test.at || e.ClockShiftMS != test.shift || b.Sessions[e.Session].ClientID != "s" {
					t.Errorf("%+v, want it at %s, moved by %d", e, test.at.Time(), test.shift)
				}
			}
		})
	}
}

// Judged again with all that its batch knew, an event comes out as it would have
// in the batch.
func TestDecoder_Again_AsInItsBatch(t *testing.T) {
	t.Parallel()
	decoder := NewDecoder(event.DefaultLimits(), nil)
	rapid.Check(t, func(t *rapid.T) {
		received := event.MicrosOf(time.Date(2025, 11, 22, 8, 0, 0, 0, time.UTC))
		raw := `{"event_type":"cta","zone_name":` + rapid.SampledFrom([]string{`"hall"`, `null`, `7`, `"a\u00e9"`}).Draw(t, "zone") +
			`,"timestamp":` + rapid.SampledFrom([]string{"1763798390.25", "1763805000", `"2025-11-22T07:59:00Z"`, "0", `"x"`, "1e99"}).Draw(t, "time") +
			rapid.SampledFrom([]string{"", `,"session_id":"own"`, `,"colour":"red"`}).Draw(t, "more") + "}"
		sentAt := rapid.SampledFrom([]string{"1763798400", "1763805600.5"}).Draw(t, "sent at")
		request := Request{
			Tenant: "acme", Endpoint: EndpointBatch, ReceivedAt: received,
			Body: `{"session_id":"s","sent_at":` + sentAt + `,"events":[{"event_type":"cta","timestamp":1763798380},` + raw + `]}`,
		}
		var whole, again event.Batch
		if err := decoder.Batch(&request, &whole); err != nil {
			t.Fatal(err)
		}
		err := decoder.Again(Rejected{
			Tenant: "acme", Raw: raw, Index: 1, Session: "s", ReceivedAt: received, Now: received, AheadMS: min(whole.Events[0].ClockShiftMS, 0),
		}, &again)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole.Rejected) > 0 {
			if diff := cmp.Diff(whole.Rejected, again.Rejected); diff != "" {
				t.Fatalf("(-in its batch +again):\n%s", diff)
			}
			return
		}
		want, got := whole.Events[1], again.Events[0]
		if whole.Sessions[want.Session] != again.Sessions[got.Session] {
			t.Fatalf("session %v, want %v", again.Sessions[got.Session], whole.Sessions[want.Session])
		}
		want.Session, got.Session = 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-in its batch +again):\n%s", diff)
		}
	})
}
