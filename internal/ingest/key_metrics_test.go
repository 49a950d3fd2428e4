package ingest

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
)

// rule 9: however many keys there are, the series are bounded, and no rejection
// goes uncounted.
func TestRejectedByKey(t *testing.T) {
	t.Parallel()
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rejected_total", Help: "x"}, []string{"key_id", "code"})
	r := newRejectedByKey(counters)
	rejected := []event.Rejection{{Code: event.InvalidText}, {Code: event.InvalidText}, {Code: "made up"}}
	for range 2 {
		for i := range labelledKeys + 50 {
			r.count(fmt.Sprint("key", i), rejected)
		}
	}
	r.count("", rejected)
	r.count("quiet", nil)
	want := map[[2]string]float64{
		{"key0", string(event.InvalidText)}: 4, {"key0", "other"}: 2, {"key199", string(event.InvalidText)}: 4,
		{keyOther, string(event.InvalidText)}: 200, {keyAnonymous, string(event.InvalidText)}: 2,
	}
	for labels, n := range want {
		if got := testutil.ToFloat64(counters.WithLabelValues(labels[0], labels[1])); got != n {
			t.Errorf("%v: %v, want %v", labels, got, n)
		}
	}
	if n := testutil.CollectAndCount(counters); n != 2*(labelledKeys+2) {
		t.Errorf("%d series of %d keys", n, labelledKeys+50)
	}
}
