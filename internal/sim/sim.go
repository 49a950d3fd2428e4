package sim

import (
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/nexero-vr/nexero/internal/recording"
)

// Options say what to invent. Equal options give equal posts.
type Options struct {
	// Seed decides everything but the calendar.
	Seed uint64
	// Headsets is how many there are, at least 1.
	Headsets int
	// Start is when the run begins; below a millisecond it is cut.
	Start time.Time
	// Duration is how long people tour: the last ones leave when it is over.
	// Uploads may come up to 15 minutes later. At least ShortestRun.
	Duration time.Duration
	// Rate is how many head poses a headset takes a second, 1 to 100; 0 is 10.
	Rate int
	// Habits are those of the headsets; see [Usual].
	Habits Habits
	// Plans are what is toured; none is all of [Plans].
	Plans []Plan
}

// ShortestRun is the shortest Duration: less is no tour.
const ShortestRun = 30 * time.Second

const (
	usualRate  = 10
	fastest    = 100
	mostOfThem = 1 << 32 // headsets, so that their numbers fit a seed
)

// Run is a set of headsets and the people who wear them. It is safe for
// concurrent use.
type Run struct {
	options Options
	plans   []*layout
	startMS int64 // Unix
	endMS   int64 // of the run
}

// Post is one request of a headset and what must become of it.
type Post struct {
	// Request is what to send; AtMS counts from the start of the run. Its
	// headers are shared and only to be read.
	recording.Request

	// Headset is the number of the sender, from 0.
	Headset int
	// Accepted and Rejected are how many of its events an ingest takes and
	// refuses, each time; both are 0 for a session post.
	Accepted, Rejected int
	// Repeat says that the same bytes came before in the headset's stream: they
	// add nothing.
	Repeat bool

	said *content
}

// New prepares a run. The error says which of the options makes no sense.
func New(options Options) (*Run, error) {
	if options.Rate == 0 {
		options.Rate = usualRate
	}
	if len(options.Plans) == 0 {
		options.Plans = Plans()
	}
	switch {
	case options.Headsets < 1 || options.Headsets > mostOfThem:
		return nil, fmt.Errorf("simulate: %d headsets, at least 1 is needed", options.Headsets)
	case options.Duration < ShortestRun:
		return nil, fmt.Errorf("simulate: a run of %s is too short for a tour, at least %s is needed", options.Duration, ShortestRun)
	case options.Rate < 1 || options.Rate > fastest:
		return nil, fmt.Errorf("simulate: %d poses a second, 1 to %d are possible", options.Rate, fastest)
	case !options.Habits.valid():
		return nil, errors.New("simulate: habits are probabilities, between 0 and 1")
	}
	r := &Run{options: options, startMS: options.Start.UnixMilli(), endMS: options.Duration.Milliseconds()}
	for i := range options.Plans {
		plan, err := newLayout(&options.Plans[i])
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		r.plans = append(r.plans, plan)
	}
	return r, nil
}

// Headset returns what the headset of a number sends, in order of time. Each
// reading of the stream is the same; numbers at and beyond Options.Headsets are
// headsets as well, that the run does not have.
func (r *Run) Headset(number int) iter.Seq[Post] {
	return func(yield func(Post) bool) {
		newHeadset(r, number, yield).play()
	}
}

// Posts returns what all headsets send, in order of time.
func (r *Run) Posts() iter.Seq[Post] {
	return func(yield func(Post) bool) {
		var streams sources
		defer func() {
			for _, s := range streams {
				s.stop()
			}
		}()
		for number := range r.options.Headsets {
			next, stop := iter.Pull(r.Headset(number))
			if post, ok := next(); ok {
				streams = append(streams, source{post, next, stop})
			} else {
				stop()
			}
		}
		heap.Init(&streams)
		for len(streams) > 0 {
			if !yield(streams[0].post) {
				return
			}
			if post, ok := streams[0].next(); ok {
				streams[0].post = post
				heap.Fix(&streams, 0)
			} else {
				heap.Pop(&streams)
			}
		}
	}
}

// source is a headset's stream and the post that it has ready.
type source struct {
	post Post
	next func() (Post, bool)
	stop func()
}

// sources are a heap of streams by time, then by headset.
type sources []source

func (s *sources) Len() int      { return len(*s) }
func (s *sources) Swap(i, j int) { (*s)[i], (*s)[j] = (*s)[j], (*s)[i] }
func (s *sources) Less(i, j int) bool {
	a, b := &(*s)[i].post, &(*s)[j].post
	return a.AtMS < b.AtMS || a.AtMS == b.AtMS && a.Headset < b.Headset
}
func (s *sources) Push(any) {} // none comes later
func (s *sources) Pop() any {
	last := len(*s) - 1
	(*s)[last] = source{} // lets go of the stream
	*s = (*s)[:last]
	return nil
}

// purpose keeps the chances of one tour apart, so that a headset's habits change
// nothing about where its wearer walks.
type purpose uint64

const (
	forHeadset purpose = iota
	forVisitor
	forHabits
)

// chances returns the random numbers for one purpose of one tour.
func (r *Run) chances(headset, tour int, p purpose) *rand.Rand {
	return rand.New(rand.NewPCG(r.options.Seed, uint64(headset)<<32|uint64(tour)<<2|uint64(p)))
}
