package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/facts"
)

// rule 4: a percentile that a view shows is the one that the program reads off
// the same bins.
func TestBins_AreReadAsTheProgramReadsThem(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var bounds []string
	for bin := range facts.BinCount {
		from, to := facts.BinBounds(bin)
		bounds = append(bounds, fmt.Sprint(bin, from, to))
	}
	f.want(fmt.Sprintf("SELECT bin, b.* FROM generate_series(0, %d) AS bin, rollup.bin_bounds(bin) AS b ORDER BY bin", facts.BinCount-1), bounds...)

	permilles := []int32{0, 1, 499, 500, 501, 900, 999, 1000}
	check := func(tb rapid.TB, counts []int64) {
		var got []*int64
		const query = `SELECT array_agg(rollup.quantile($1, permille) ORDER BY n) FROM unnest($2::integer[]) WITH ORDINALITY AS p (permille, n)`
		if err := f.db.QueryRow(t.Context(), query, counts, permilles).Scan(&got); err != nil {
			tb.Fatal(err)
		}
		for i, permille := range permilles {
			want, ok := facts.Quantile(counts, int64(permille))
			if ok != (got[i] != nil) || ok && want != *got[i] {
				tb.Fatalf("p%d of %v is %d, %v; SQL says %v", permille, counts, want, ok, got[i])
			}
		}
	}
	check(t, nil)
	check(t, make([]int64, facts.BinCount))
	for bin := range facts.BinCount {
		counts := make([]int64, facts.BinCount)
		counts[bin] = 1
		check(t, counts)
	}
	// Few lengths, where each rank is another bin, up to as many as fit.
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int64{1, 3, 1<<31 - 1}).Draw(t, "most")
		filled := rapid.MapOfN(rapid.IntRange(0, facts.BinCount-1), rapid.Int64Range(1, most), 0, 12).Draw(t, "filled")
		counts := make([]int64, facts.BinCount)
		for bin, n := range filled {
			counts[bin] = n
		}
		check(t, counts)
	})
	check(t, slices.Repeat([]int64{1<<31 - 1}, facts.BinCount))
}
