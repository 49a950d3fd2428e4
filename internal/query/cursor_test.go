package query

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/postgres"
)

func filters(t *rapid.T) postgres.RejectionFilter {
	f := postgres.RejectionFilter{
		Tenant: rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "tenant"), Session: rapid.StringMatching(`[a-z]{0,2}`).Draw(t, "session"),
		Code: rapid.SampledFrom([]string{"", "invalid_text"}).Draw(t, "code"),
	}
	if rapid.Bool().Draw(t, "from") {
		f.From = time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "from time"), 0)
	}
	if rapid.Bool().Draw(t, "until") {
		f.Until = time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "until time"), 0)
	}
	return f
}

// A cursor comes back as it was under its own conditions and under no others.
func TestCursor_IsOfItsListing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, other := filters(t), filters(t)
		f.After = postgres.RejectionCursor{
			WrittenAt: rapid.Int64Range(1e15, 2e15).Draw(t, "written"), BatchNo: rapid.Int64Range(0, 1<<62).Draw(t, "batch"),
			Index: rapid.IntRange(-1, 32767).Draw(t, "index"),
		}
		text := encodeCursor(&f)
		if len(text) > maxCursor {
			t.Fatalf("%d characters", len(text))
		}
		got, err := decodeCursor(text, &f)
		if err != nil || got != f.After {
			t.Fatalf("%+v, %v; want %+v", got, err, f.After)
		}
		same := f
		same.After = postgres.RejectionCursor{}
		if _, err := decodeCursor(text, &other); (err == nil) != (other == same) {
			t.Fatalf("under %+v: %v", other, err)
		}
	})
}

// Whatever is sent, a cursor that is taken is one that is made.
func FuzzDecodeCursor(f *testing.F) {
	filter := postgres.RejectionFilter{Tenant: "acme", After: postgres.RejectionCursor{WrittenAt: 1_700_000_000_000_000, BatchNo: 7, Index: -1}}
	f.Add(encodeCursor(&filter))
	f.Add("")
	f.Add("AQAF")
	f.Fuzz(func(t *testing.T, text string) {
		filter := filter
		at, err := decodeCursor(text, &filter)
		if err != nil {
			return
		}
		filter.After = at
		if again := encodeCursor(&filter); again != text {
			t.Errorf("%q is taken as %+v, which is %q", text, at, again)
		}
	})
}
