package recording

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const guid = "0123456789ABCDEF0123456789ABCDEF"

func TestForCopy_FirstIsAsRecorded(t *testing.T) {
	t.Parallel()
	request := Request{Path: "/p", Headers: map[string]string{"Idempotency-Key": "k"}, Body: `{"session_id":"` + guid + `"}`}
	for _, n := range []int{-1, 0, 1} {
		if diff := cmp.Diff(request, request.ForCopy(n)); diff != "" {
			t.Errorf("copy %d (-want +got):\n%s", n, diff)
		}
	}
}

func TestForCopy_ChangesSessionsAndNothingElse(t *testing.T) {
	t.Parallel()
	const lower = "01234567-89ab-cdef-0123-456789abcdef"
	a := copyOfID(guid, 2)
	spelled := strings.ToLower(a[:8] + "-" + a[8:12] + "-" + a[12:16] + "-" + a[16:20] + "-" + a[20:])
	for name, test := range map[string]struct{ body, want string }{
		"guid":         {`{"session_id":"` + guid + `","x":"` + guid + `"}`, `{"session_id":"` + a + `","x":"` + guid + `"}`},
		"spellings":    {`[{"session_id" :` + "\n" + `"` + lower + `"}, {"session_id":"{` + guid + `}"}]`, `[{"session_id" :` + "\n" + `"` + spelled + `"}, {"session_id":"{` + a + `}"}]`},
		"engine":       {`{"session_id":"AnalyticsET@@` + guid + `"}`, `{"session_id":"AnalyticsET@@` + a + `"}`},
		"other id":     {`{"session_id":"visit-7"}`, `{"session_id":"visit-7-copy2"}`},
		"broken json":  {`{"session_id":"` + guid + `","events":[{`, `{"session_id":"` + a + `","events":[{`},
		"quoted":       {`{"note":"\"session_id\":\"x\"","session_id":"visit-7"}`, `{"note":"\"session_id\":\"x\"","session_id":"visit-7-copy2"}`},
		"no id at all": {`{"session_id":"","a":"session_id","b":{"session_id":null}}`, `{"session_id":"","a":"session_id","b":{"session_id":null}}`},
		"cut short":    {`{"session_id":"abc`, `{"session_id":"abc`},
	} {
		got := Request{Path: "/p", Body: test.body}.ForCopy(2)
		if got.Body != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got.Body, test.want)
		}
		// Without an id the batch's identity has to come from elsewhere.
		if wantPath := map[bool]string{true: "/p?copy=2", false: "/p"}[test.body == test.want]; got.Path != wantPath {
			t.Errorf("%s: path %s, want %s", name, got.Path, wantPath)
		}
	}
}

func TestForCopy_KeepsBatchesApart(t *testing.T) {
	t.Parallel()
	request := Request{
		AtMS: 3, Method: "POST", Path: "/p?x=1",
		Headers: map[string]string{"Content-Type": "application/json", "idempotency-key": "k"},
		Body:    `{"session_start":"1"}`,
	}
	before := maps.Clone(request.Headers)
	want := request
	want.Path = "/p?x=1&copy=12"
	want.Headers = map[string]string{"Content-Type": "application/json", "idempotency-key": "k-copy12"}
	if diff := cmp.Diff(want, request.ForCopy(12)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, request.Headers); diff != "" {
		t.Errorf("the recorded request changed (-before +after):\n%s", diff)
	}
}

func TestCopyOfID_IsDifferentForEachCopyAndSession(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	ids := []string{guid, strings.Replace(guid, "0", "1", 1), "visit-7", "visit-8"}
	for _, id := range ids {
		for n := 2; n < 500; n++ {
			other := copyOfID(id, n)
			if guidDigits(id) != "" && len(other) != len(id) {
				t.Fatalf("copy %d of %s is %s", n, id, other)
			}
			seen[other] = true
		}
	}
	if want := len(ids) * 498; len(seen) != want {
		t.Errorf("%d different ids, want %d", len(seen), want)
	}
}

func FuzzForCopy(f *testing.F) {
	f.Add(`{"session_id":"` + guid + `","events":[{"session_id":"visit-7"}]}`)
	f.Add(`{"a":"\"session_id\":\"x\"","session_id" : "x" }`)
	f.Add(`"session_id":"`)
	f.Fuzz(func(t *testing.T, body string) {
		request := Request{Path: "/p", Body: body}
		two, three := request.ForCopy(2), request.ForCopy(3)
		if two.Body == three.Body && two.Path == three.Path {
			t.Fatal("copies 2 and 3 are equal")
		}
		if diff := cmp.Diff(two, request.ForCopy(2)); diff != "" {
			t.Fatalf("copy 2 is not always the same:\n%s", diff)
		}
		var before, after any
		if json.Unmarshal([]byte(body), &before) != nil {
			return
		}
		if err := json.Unmarshal([]byte(two.Body), &after); err != nil {
			t.Fatalf("json became %s: %v", two.Body, err)
		}
		if strings.ContainsRune(body, '\\') {
			return // the bytes are looked at, and the model below does not see them
		}
		if diff := cmp.Diff(modelCopy(before, 2), after); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// modelCopy does to a decoded body what ForCopy does to its bytes.
func modelCopy(value any, n int) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = modelCopy(value[i], n)
		}
	case map[string]any:
		for name, member := range value {
			if id, ok := member.(string); ok && name == "session_id" && id != "" {
				member = copyOfID(id, n)
			}
			value[name] = modelCopy(member, n)
		}
	}
	return value
}
