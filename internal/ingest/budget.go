package ingest

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// budget bounds the bytes of all request bodies together. It never makes
// anybody wait: a headset can repeat a post, a server without memory can do
// nothing.
type budget struct {
	most  int64
	used  atomic.Int64
	gauge prometheus.Gauge
}

// leastCharge is what a request costs however small its body is, so that the
// budget bounds the number of requests as well.
const leastCharge = 4 << 10

// acquire takes n bytes and reports whether they were there.
func (b *budget) acquire(n int64) bool {
	for {
		used := b.used.Load()
		if n > b.most-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			b.gauge.Set(float64(used + n))
			return true
		}
	}
}

// left is what could be acquired just now.
func (b *budget) left() int64 { return b.most - b.used.Load() }

// release gives n bytes back.
func (b *budget) release(n int64) {
	b.gauge.Set(float64(b.used.Add(-n)))
}
