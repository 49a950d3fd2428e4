package unreal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestBatch_Sessions(t *testing.T) {
	t.Parallel()
	const own = `"7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"`
	in := func(session string) string {
		return `{"event_type":"cta","timestamp":1763799990,"session_id":` + session + `}`
	}
	for _, test := range []struct {
		name, body string
		sessions   []string // client ids
		of         []int    // session of each accepted event
		rejected   []event.Code
	}{
		{"of the batch", bodyOf(in(`null`), in(`""`), in(`"00000000000000000000000000000000"`)), []string{testSession}, []int{0, 0, 0}, nil},
		{
			"one in several spellings", bodyOf(in(own), in(`"{7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8}"`), in(`"AnalyticsET@@{7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8}"`), in(`null`)),
			[]string{"7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"},
			[]int{0, 0, 0, 0},
			nil,
		},
		{"several", bodyOf(in(`"a"`), in(`"b"`), in(`"a"`), in(`12345`), in(`"b"`), in(`null`)), []string{"a", "b", "12345", testSession}, []int{0, 1, 0, 2, 1, 3}, nil},
		{"only of events", `{"events":[` + in(`"a"`) + `,` + in(`null`) + `]}`, []string{"a"}, []int{0}, []event.Code{event.MissingSession}},
		{"after the events", `{"events":[` + in(`null`) + `],"sessionId":"late"}`, []string{"late"}, []int{0}, nil},
		{"number", `{"SessionID":77,"events":[` + in(`null`) + `]}`, []string{"77"}, []int{0}, nil},
		{"all zero", `{"session_id":"{00000000-0000-0000-0000-000000000000}","events":[` + in(`null`) + `]}`, nil, nil, []event.Code{event.MissingSession}},
		{"empty braces", `{"session_id":" {} ","events":[` + in(`null`) + `]}`, nil, nil, []event.Code{event.MissingSession}},
		{"engine prefix beyond all measure", `{"session_id":"` + strings.Repeat("w", 300) + `@@a","events":[` + in(`null`) + `]}`, nil, nil, []event.Code{event.InvalidSession}},
		{"invalid", `{"session_id":"a/b","events":[` + in(`null`) + `,` + in(`"a"`) + `]}`, []string{"a"}, []int{0}, []event.Code{event.InvalidSession}},
		{"of the wrong kind", `{"session_id":{},"events":[` + in(`null`) + `,` + in(`"a"`) + `]}`, []string{"a"}, []int{0}, []event.Code{event.InvalidSession}},
		{"corrected by a later one", `{"session_id":{},"session_id":"a","events":[` + in(`null`) + `]}`, []string{"a"}, []int{0}, nil},
		// The batch's own: only it says where they belong when they are replayed.
		{"of rejected events only", bodyOf(`{"event_type":"cta","timestamp":1863799990,"session_id":"future"}`), []string{testSession}, nil, []event.Code{event.TimestampInFuture}},
		{"of rejected events without a batch's", `{"events":[{"event_type":"cta","timestamp":1863799990,"session_id":"future"}]}`, nil, nil, []event.Code{event.TimestampInFuture}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := decodeBatch(t, test.body)
			var sessions []string
			for _, s := range b.Sessions {
				sessions = append(sessions, s.ClientID)
				id, ok := event.NormaliseSessionID(s.ClientID)
				if !ok || s.Key != event.SessionKey("acme", id) {
					t.Errorf("session %q has key %s", s.ClientID, s.Key)
				}
			}
			var of []int
			for _, e := range b.Events {
				of = append(of, e.Session)
			}
			var rejected []event.Code
			for _, r := range b.Rejected {
				rejected = append(rejected, r.Code)
			}
			if diff := cmp.Diff(test.sessions, sessions) + cmp.Diff(test.of, of) + cmp.Diff(test.rejected, rejected); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBatch_ManySessions(t *testing.T) {
	t.Parallel()
	var events []string
	for i := range 1000 {
		events = append(events, fmt.Sprintf(`{"event_type":"cta","timestamp":1763799990,"session_id":"s%d"}`, i%500))
	}
	b := decodeBatch(t, bodyOf(events...))
	if len(b.Sessions) != 500 || len(b.Events) != 1000 {
		t.Fatalf("%d sessions, %d events", len(b.Sessions), len(b.Events))
	}
	for i, e := range b.Events {
		if want := fmt.Sprintf("s%d", i%500); b.Sessions[e.Session].ClientID != want {
			t.Fatalf("event %d is of %s", i, b.Sessions[e.Session].ClientID)
		}
	}
}
