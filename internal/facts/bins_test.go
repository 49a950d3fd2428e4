package facts

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBins_CoverEveryLengthOnce(t *testing.T) {
	t.Parallel()
	next := int64(0)
	for bin := range BinCount {
		from, to := BinBounds(bin)
		if from != next || to <= from {
			t.Fatalf("bin %d is %d..%d, want one that begins at %d", bin, from, to, next)
		}
		if BinOf(from) != bin || BinOf(to-1) != bin {
			t.Fatalf("bin %d holds %d..%d, whose ends are in %d and %d", bin, from, to, BinOf(from), BinOf(to-1))
		}
		next = to
	}
	if day := int64(86_400_000); next < day {
		t.Errorf("bins end at %d ms, before a day is over", next)
	}
	for ms, want := range map[int64]int{math.MinInt64: 0, -1: 0, 99: 0, 100: 1, 1599: 15, 1600: 16, 1799: 16, 1800: 17, math.MaxInt64: BinCount - 1} {
		if got := BinOf(ms); got != want {
			t.Errorf("%d ms are in bin %d, want %d", ms, got, want)
		}
	}
}

func TestQuantile_IsWithinTheStatedError(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.Int64Range(0, 86_400_000), 1, 50).Draw(t, "lengths")
		counts := make([]int64, BinCount)
		for _, ms := range lengths {
			counts[BinOf(ms)]++
		}
		slices.Sort(lengths)
		for _, permille := range []int64{0, 500, 900, 1000} {
			rank := max(1, (int64(len(lengths))*permille+999)/1000)
			want := lengths[rank-1]
			got, ok := Quantile(counts, permille)
			if off := max(got-want, want-got); !ok || off > max(50, want/16) {
				t.Fatalf("p%d of %v is %d, read as %d", permille, lengths, want, got)
			}
		}
	})
	if _, ok := Quantile(make([]int64, BinCount), 500); ok {
		t.Error("nothing has a median")
	}
}
