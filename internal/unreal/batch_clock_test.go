package unreal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestBatch_ClockCorrection(t *testing.T) {
	t.Parallel()
	type outcome struct {
		At    float64 // seconds after receipt
		Shift int64
	}
	at := func(seconds ...float64) string {
		var events []string
		for _, s := range seconds {
			events = append(events, fmt.Sprintf(`{"event_type":"cta","timestamp":%.6f}`, s))
		}
		return `"events":[` + strings.Join(events, ",") + `]`
	}
	const now = float64(testReceived) / 1e6
	for _, test := range []struct {
		name, body string
		want       []outcome
		rejected   int
	}{
		{"believed", `{"session_id":"s","sent_at":1763800000,` + at(now-5, now) + `}`, []outcome{{-5, 0}, {0, 0}}, 0},
		{"a minute ahead is believed", `{"session_id":"s","sent_at":1763800060,` + at(now+58, now+60) + `}`, []outcome{{58, 0}, {60, 0}}, 0},
		{"sent an hour ahead", `{"session_id":"s","sent_at":1763803600,` + at(now+3595, now+3600, now+3630) + `}`, []outcome{{-5, -3_600_000}, {0, -3_600_000}, {30, -3_600_000}}, 0},
		{"sent_at after the events", `{"session_id":"s",` + at(now+3595) + `,"sentAt":"2025-11-22T09:26:40Z"}`, []outcome{{-5, -3_600_000}}, 0},
		{"rounded to milliseconds", `{"session_id":"s","sent_at":1763803600.0006,` + at(now+3600) + `}`, []outcome{{-0.001, -3_600_001}}, 0},
		{"still ahead after correction", `{"session_id":"s","sent_at":1763803600,` + at(now+3595, now+3661) + `}`, []outcome{{-5, -3_600_000}}, 1},
		{"sent in the past", `{"session_id":"s","sent_at":1755265374.5,` + at(now-8_534_625.5) + `}`, []outcome{{-8_534_625.5, 0}}, 0},
		{"no sent_at", `{"session_id":"s",` + at(now+61, now) + `}`, []outcome{{0, 0}}, 1},
		{"moved out of the calendar", `{"session_id":"s","sent_at":"9999-12-31T23:59:59Z",` + at(now) + `}`, nil, 1},
		{"unreadable sent_at", `{"session_id":"s","sent_at":"soon",` + at(now+61, now) + `}`, []outcome{{0, 0}}, 1},
		{"1970", `{"session_id":"s","sent_at":20,` + at(5.5, 10, 7) + `}`, []outcome{{-4.5, 1_763_799_990_000}, {0, 1_763_799_990_000}, {-3, 1_763_799_990_000}}, 0},
		{"2000", `{"session_id":"s",` + at(946_684_805, 946_684_800) + `}`, []outcome{{0, 817_115_195_000}, {-5, 817_115_195_000}}, 0},
		{"dead below a millisecond", `{"session_id":"s",` + at(1.0005) + `}`, []outcome{{-0.0005, 1_763_799_998_999}}, 0},
		{"some dead", `{"session_id":"s",` + at(now-3, 4, 2) + `}`, []outcome{{-3, 0}, {0, 1_763_799_996_000}, {-2, 1_763_799_996_000}}, 0},
		{"dead among those ahead", `{"session_id":"s","sent_at":1763803600,` + at(4, now+3600) + `}`, []outcome{{0, 1_763_799_996_000}, {0, -3_600_000}}, 0},
		{"first moment believed", `{"session_id":"s",` + at(1_420_070_400) + `}`, []outcome{{1_420_070_400 - now, 0}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := decodeBatch(t, test.body)
			var got []outcome
			for _, e := range b.Events {
				got = append(got, outcome{float64(e.OccurredAt-testReceived) / 1e6, e.ClockShiftMS})
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(b.Rejected) != test.rejected {
				t.Errorf("%s\n%d rejected, want %d", diff, len(b.Rejected), test.rejected)
			}
		})
	}
}

// rule 2: a repeat that is judged differently keeps its indexes, so the worker
// can add exactly what was rejected then.
func TestBatch_RepeatJudgedLater(t *testing.T) {
	t.Parallel()
	body := bodyOf(`{"event_type":"cta","timestamp":1763799990}`, `{"event_type":"cta","timestamp":1763800061}`, `{"event_type":"cta"}`, `{"event_type":"cta","timestamp":1763800000}`)
	first := decodeBatch(t, body)
	var later event.Batch
	req := batchRequest(body)
	req.ReceivedAt += event.Micros(5 * time.Second / time.Microsecond)
	req.ReceiptID = event.UUID{2}
	if err := NewDecoder(event.DefaultLimits(), nil).Batch(req, &later); err != nil {
		t.Fatal(err)
	}
	if first.ID != later.ID || first.Digest != later.Digest {
		t.Error("the repeat has another id or digest")
	}
	indexes := func(b *event.Batch) (accepted, rejected []int) {
		for _, e := range b.Events {
			accepted = append(accepted, e.Index)
		}
		for _, r := range b.Rejected {
			rejected = append(rejected, r.Index)
		}
		return accepted, rejected
	}
	accepted, rejected := indexes(first)
	if diff := cmp.Diff([]int{0, 3}, accepted) + cmp.Diff([]int{1, 2}, rejected); diff != "" {
		t.Error(diff)
	}
	accepted, rejected = indexes(&later)
	if diff := cmp.Diff([]int{0, 1, 3}, accepted) + cmp.Diff([]int{2}, rejected); diff != "" {
		t.Error(diff)
	}
}
