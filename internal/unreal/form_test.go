package unreal

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// The plug-in's three ways of sending fields say the same.
func TestSession_FormsAndQueries(t *testing.T) {
	t.Parallel()
	fields := url.Values{
		"session_start": {"1727653800"}, "session_end": {"1727654100"}, "session_id": {"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8"},
		"customer_id": {"Zoë & co"}, "api_key": {"secret"},
	}
	open := CanonicalQuery(fields)
	json := `{"session_start":"1727653800","session_end":"1727654100","session_id":"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8","customer_id":"Zoë & co"}`
	decoder := NewDecoder(event.DefaultLimits(), nil)
	read := func(query, body string) (SessionPost, *event.Report) {
		t.Helper()
		var b event.Batch
		post, err := decoder.Session(&Request{
			Tenant: "acme", Endpoint: EndpointSession, Query: query, Body: body, ReceivedAt: 1_763_800_000_000_000,
		}, &b)
		if err != nil {
			t.Fatalf("query %q, body %q: %v", query, body, err)
		}
		return post, b.Report
	}
	wantPost, wantReport := read("", json)
	for name, sent := range map[string]struct{ query, body string }{
		"query":                {open, ""},
		"query and blank body": {open, " \r\n"},
		"form":                 {"", open},
	} {
		post, report := read(sent.query, sent.body)
		if diff := cmp.Diff(wantPost, post) + cmp.Diff(wantReport, report); diff != "" {
			t.Errorf("%s (-json +%s):\n%s", name, name, diff)
		}
	}
	for _, nothing := range []string{"", " ", "\x00"} {
		if post, report := read("", nothing); !post.Ignored || report != nil {
			t.Errorf("body %q: %+v, %+v", nothing, post, report)
		}
	}
}
