package facts

import (
	"math/bits"
	"time"
)

// Lengths are counted in bins, since a percentile cannot be summed but the
// counts it is read from can. Bins are made with integers alone:
//
//	u = ms / 100, at most 2^20 - 1
//	u < 16:  bin u
//	else:    e = bitlength(u) - 4, bin 8 * (e + 1) + (u >> e) - 8
//
// So bins are 100 ms wide up to 1.6 s, and above there are eight for each
// doubling. A value read back as the middle of its bin is off by at most 50 ms
// up to 1.6 s, and by at most 6.25 % (one sixteenth) above, up to 29 hours.
const (
	// BinCount is the number of bins.
	BinCount = 144

	binUnit   = 100 * time.Millisecond
	binLinear = 16
	binLimit  = 1<<20 - 1
)

// BinOf returns the bin of a length in milliseconds. Negative lengths are in
// the first bin, those beyond 29 hours in the last.
func BinOf(ms int64) int {
	u := uint64(min(max(0, ms)/binUnit.Milliseconds(), binLimit))
	if u < binLinear {
		return int(u)
	}
	e := bits.Len64(u) - 4
	return 8*(e+1) + int(u>>e) - 8
}

// BinBounds returns the lengths that are in a bin: from <= ms < to.
func BinBounds(bin int) (from, to int64) {
	unit := binUnit.Milliseconds()
	if bin < binLinear {
		return int64(bin) * unit, int64(bin+1) * unit
	}
	e := bin/8 - 1
	from = int64(bin%8+8) << e * unit
	return from, from + 1<<e*unit
}

// Quantile reads a percentile off bins, where counts[i] is the number of lengths
// in bin i: the middle of the bin in which the length of rank
// ceil(n * permille / 1000) lies. ok is false when nothing was counted.
func Quantile(counts []int64, permille int64) (ms int64, ok bool) {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	if total <= 0 {
		return 0, false
	}
	// Split, so that no total overflows.
	rank := max(1, total/1000*permille+(total%1000*permille+999)/1000)
	below := int64(0)
	for bin, n := range counts {
		if below += n; below >= rank {
			from, to := BinBounds(bin)
			return (from + to) / 2, true
		}
	}
	return 0, false
}
