package replay

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary is what came of a replay; [EmptySummary] makes one.
type Summary struct {
	// Answered counts the requests that got a final answer, Refused those of
	// them with a status of 4xx.
	Answered int `json:"answered"`
	Refused  int `json:"refused"`
	// Accepted and Rejected count events.
	Accepted int `json:"accepted"`
	Rejected int `json:"rejected"`
	// Repeats counts the batches that the server remembered, Retries the
	// attempts beyond each request's first.
	Repeats int `json:"repeats"`
	Retries int `json:"retries"`
	// Elapsed is how long the whole replay took, in nanoseconds.
	Elapsed time.Duration `json:"elapsed_ns"`
	// FirstRefusal is the server's sentence on the first refused request.
	FirstRefusal string `json:"first_refusal,omitempty"`

	latency *hdrhistogram.Histogram // microseconds
}

// longestLatency bounds the histogram; slower answers count as this slow.
const longestLatency = 10 * time.Minute

// EmptySummary returns the summary of nothing yet.
func EmptySummary() *Summary {
	return &Summary{latency: hdrhistogram.New(1, longestLatency.Microseconds(), 3)}
}

// Add counts an answer. It is for one goroutine at a time.
func (s *Summary) Add(a Answer) {
	s.Answered++
	s.Accepted += a.Processed
	s.Rejected += a.Failed
	s.Retries += a.Attempts - 1
	if a.Duplicate {
		s.Repeats++
	}
	if a.Status >= 400 {
		s.Refused++
		if s.FirstRefusal == "" {
			s.FirstRefusal = fmt.Sprintf("status %d: %s", a.Status, a.Detail)
		}
	}
	micros := min(max(a.Latency.Microseconds(), 1), longestLatency.Microseconds())
	// The value is inside the histogram's range, so this cannot fail.
	_ = s.latency.RecordValue(micros)
}

// Latency returns the latency below which the given share of the answers came,
// 0 < share ≤ 1.
func (s *Summary) Latency(share float64) time.Duration {
	return time.Duration(s.latency.ValueAtQuantile(share*100)) * time.Microsecond
}

// Print writes the summary for a person.
func (s *Summary) Print(w io.Writer) error {
	seconds := max(s.Elapsed.Seconds(), 0.001)
	_, err := fmt.Fprintf(w, `answered  %d requests in %s (%d refused, %d retries)
events    %d accepted, %d rejected, %.0f a second, repeats included
repeats   %d posts that the server had seen before
latency   p50 %s   p90 %s   p99 %s   max %s
`,
		s.Answered, s.Elapsed.Round(time.Millisecond), s.Refused, s.Retries,
		s.Accepted, s.Rejected, float64(s.Accepted)/seconds,
		s.Repeats,
		s.Latency(0.5).Round(10*time.Microsecond), s.Latency(0.9).Round(10*time.Microsecond),
		s.Latency(0.99).Round(10*time.Microsecond), s.Latency(1).Round(10*time.Microsecond))
	if err == nil && s.FirstRefusal != "" {
		_, err = fmt.Fprintf(w, "refused   the first with %s\n", s.FirstRefusal)
	}
	return err
}
