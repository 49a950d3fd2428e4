package unreal

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

func idOf(t testing.TB, change func(*Request)) event.UUID {
	t.Helper()
	req := batchRequest(bodyOf(`{"event_type":"cta","timestamp":1763799990.5}`))
	change(req)
	var b event.Batch
	if err := NewDecoder(event.DefaultLimits(), nil).Batch(req, &b); err != nil {
		t.Fatal(err)
	}
	return b.ID
}

// rule 2: what makes a batch the same batch, and what does not.
func TestIdentity(t *testing.T) {
	t.Parallel()
	body := func(body string) func(*Request) { return func(r *Request) { r.Body = body } }
	one := `{"event_type":"cta","timestamp":1763799990.5}`
	base := idOf(t, func(*Request) {})
	for name, change := range map[string]func(*Request){
		"another receipt":      func(r *Request) { r.ReceiptID = event.UUID{9}; r.ReceivedAt += 1e6; r.CorrelationID = "x" },
		"trailing white space": func(r *Request) { r.Body += "\r\n" },
		"as UTF-16":            func(r *Request) { r.Body = wide(r.Body, false, true) },
	} {
		if idOf(t, change) != base {
			t.Errorf("%s makes another batch", name)
		}
	}
	seen := map[event.UUID]string{base: "the plain one"}
	for name, change := range map[string]func(*Request){
		"tenant":          func(r *Request) { r.Tenant = "acme2" },
		"endpoint":        func(r *Request) { r.Endpoint = EndpointSession + "2" },
		"query":           func(r *Request) { r.Query = "a=1" },
		"key":             func(r *Request) { r.IdempotencyKey = "k" },
		"key elsewhere":   func(r *Request) { r.IdempotencyKey = "k"; r.Endpoint = "event" },
		"key of another":  func(r *Request) { r.IdempotencyKey = "k"; r.Tenant = "acme2" },
		"session":         body(`{"session_id":"s2","events":[` + one + `]}`),
		"event":           body(bodyOf(one, one)),
		"white space":     body(bodyOf(" " + one)),
		"batch_id":        body(`{"batch_id":"1","session_id":"s","events":[` + one + `]}`),
		"next batch_id":   body(`{"batch_id":"2","session_id":"s","events":[` + one + `]}`),
		"batch_id, other": body(`{"batch_id":"1","session_id":"t","events":[` + one + `]}`),
		"batch_id, none":  body(`{"batch_id":"1","events":[` + one + `]}`),
		"unreadable id":   body(`{"batch_id":{},"session_id":"s","events":[` + one + `]}`),
		"nothing in it":   body(bodyOf()),
		"text around it":  body(`{"events":[` + one + `],"session_id":"` + testSession + `"}`),
	} {
		id := idOf(t, change)
		if other, taken := seen[id]; taken {
			t.Errorf("%s and %s are the same batch", name, other)
		}
		seen[id] = name
	}
}

func TestIdentity_BatchID(t *testing.T) {
	t.Parallel()
	of := func(body string) event.UUID { return idOf(t, func(r *Request) { r.Body = body }) }
	one := `{"event_type":"cta","timestamp":1763799990.5}`
	base := of(`{"batch_id":"7","session_id":"` + testSession + `","events":[` + one + `]}`)
	for _, same := range []string{
		`{"session_id":"` + strings.ToLower(testSession) + `","events":[` + one + `,1],"batchId":7}`,
		`{"BatchID":"7","events":[{"event_type":"cta","timestamp":1,"session_id":"` + testSession + `"}]}`,
		// The session counts even of an event that is rejected: a repeat may accept it.
		`{"batch_id":"7","events":[5,{"event_type":"cta","timestamp":1963799990,"session_id":"` + testSession + `"},{"session_id":"other"}]}`,
		`{"batch_id":"7","events":[{"session_id":"` + testSession + `"}]}`,
		// An id that was never set is none.
		`{"batch_id":"7","session_id":"00000000000000000000000000000000","events":[{"session_id":"` + testSession + `"}]}`,
		`{"batch_id":"7","session_id":"{}","events":[{"session_id":"{}"},{"session_id":"` + testSession + `"}]}`,
		`{"batch_id":"7","session_id":{},"events":[{"session_id":"` + testSession + `"}]}`,
		`{"batch_id":"7","session_id":null,"events":[{"session_id":"` + testSession + `"}]}`,
		`{"batch_id":"7","session_id":"","events":[{"session_id":"` + testSession + `"}]}`,
	} {
		if of(same) != base {
			t.Errorf("%s has another id", same)
		}
	}
}

// rule 2: equal packets can both be real when their times prove nothing.
func TestIdentity_FreshWhenTimesProveNothing(t *testing.T) {
	t.Parallel()
	in := func(times ...string) string {
		var events []string
		for _, at := range times {
			events = append(events, `{"event_type":"cta","timestamp":`+at+`}`)
		}
		return bodyOf(events...)
	}
	for _, test := range []struct {
		body  string
		fresh bool
	}{
		{in(`1763799936`), true}, // a multiple of 128
		{in(`1763799936`, `1763799808`), true},
		{in(`1.763799936e9`), true},
		{in(`1763799936`, `1763799990`), false},
		{in(`1763799936`, `null`), true},
		{in(`1763799936`, `"x"`), true},
		{in(`"1763799936"`), false}, // text was never a float
		{in(`"2025-11-22T08:25:36Z"`), false},
		{in(`1763799990`), false},
		{in(`1763799728128`), true}, // a multiple of 131,072 ms
		{in(`1763799936000`), false},
		{in(`0`), true},
		{in(`null`), true},
		{bodyOf(`5`, `{}`), true},
		{in(), false},
		{bodyOf(`{"event_type":"cta","t":1763799990}`), false},
		{bodyOf(`{"event_type":"cta","event_data":{"timestamp":1763799936}}`), true},
		{`{"batch_id":"b","events":[{"event_type":"cta","timestamp":1763799936}]}`, false},
	} {
		first := idOf(t, func(r *Request) { r.Body = test.body })
		second := idOf(t, func(r *Request) { r.Body = test.body; r.ReceiptID = event.UUID{2} })
		if fresh := first != second; fresh != test.fresh {
			t.Errorf("%s: fresh %v, want %v", test.body, fresh, test.fresh)
		}
	}
	key := func(receipt byte) event.UUID {
		return idOf(t, func(r *Request) {
			r.Body, r.IdempotencyKey, r.ReceiptID = in(`0`), "k", event.UUID{receipt}
		})
	}
	if key(1) != key(2) {
		t.Error("an Idempotency-Key does not hold")
	}
}

func TestCanonicalQuery(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":           "",
		"b=2&a=1":    "a=1&b=2",
		"a=2&a=1":    "a=2&a=1",
		"AppID=pk_1": "",
		"appid=1&APP_ID=2&api_key=3&apiKey=4&Key=5&token=6&X-API-Key=7&x_api_key=8&Authorization=9&access_token=0&SessionID=s": "SessionID=s",
		"a=%26&b=%3D+":             "a=%26&b=%3D+",
		"keys=1&monkey=2&tokens=3": "keys=1&monkey=2&tokens=3",
	} {
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := CanonicalQuery(values); got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	if CanonicalQuery(nil) != "" {
		t.Error("no query is some query")
	}
}

// Moving bytes from one part of an identity to the next makes another identity.
func TestIdentity_PartsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(2, 20, -1).Draw(t, "text")
		first := rapid.IntRange(0, len(text)).Draw(t, "first")
		second := rapid.IntRange(0, len(text)).Draw(t, "second")
		if first == second {
			return
		}
		of := func(at int) event.UUID {
			return event.NameUUID(idFromKey, text[:at], string(EndpointBatch), text[at:])
		}
		if of(first) == of(second) {
			t.Fatal("two tenants share an id")
		}
	})
}
