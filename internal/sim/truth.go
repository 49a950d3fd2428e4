package sim

import (
	"maps"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Truth is what a database must hold when everything that was posted is loaded.
// All times of events are the client's own, in Unix milliseconds: what the
// pipeline stores minus the correction that it applied.
type Truth struct {
	Totals

	// Sessions are ordered by headset, then by tour.
	Sessions []Session `json:"sessions"`
}

// Totals sum up the sessions.
type Totals struct {
	Tours int `json:"tours"`
	// Customers are different people with a name, Nameless the tours of others,
	// Returned the tours of people who had come before.
	Customers int `json:"customers"`
	Nameless  int `json:"nameless"`
	Returned  int `json:"returned"`
	Crashed   int `json:"crashed"`
	// Requests is every post, Batches and Reports those that were not Repeats.
	Requests int `json:"requests"`
	Batches  int `json:"batches"`
	Reports  int `json:"reports"`
	Repeats  int `json:"repeats"`
	// Accepted and Rejected count events, each once.
	Accepted int            `json:"accepted"`
	Events   map[string]int `json:"events"`
	Rejected map[string]int `json:"rejected"`
}

// Session is what is true of one tour as far as posts told of it.
type Session struct {
	// ID is the session's id as its batches spell it; NormalID is what all its
	// spellings have in common.
	ID       string `json:"id"`
	NormalID string `json:"normal_id"`
	// Headset and Tour number who wore what: both count from 0.
	Headset int `json:"headset"`
	Tour    int `json:"tour"`
	// Plan is the property id of the plan that was walked.
	Plan string `json:"plan"`
	// Property, Customer and Device are as reported, empty when nothing was.
	Property string `json:"property"`
	Customer string `json:"customer"`
	Device   string `json:"device"`
	// StartMS and EndMS are as declared, 0 when nothing was.
	StartMS int64 `json:"start_ms"`
	EndMS   int64 `json:"end_ms"`
	// FirstMS and LastMS are those of the first and last accepted event.
	FirstMS int64 `json:"first_ms"`
	LastMS  int64 `json:"last_ms"`
	// ClockAheadMS is how far the client's clock was ahead of the right time.
	ClockAheadMS int64 `json:"clock_ahead_ms"`
	// Crashed says that the application died before the tour was over.
	Crashed bool `json:"crashed"`

	Batches int `json:"batches"`
	Reports int `json:"reports"`
	Repeats int `json:"repeats"`

	// Accepted is the number of accepted events, Events by type. Rejected is by
	// code.
	Accepted int            `json:"accepted"`
	Events   map[string]int `json:"events"`
	Rejected map[string]int `json:"rejected"`

	// Visits are in the order of entering.
	Visits []Visit `json:"visits"`
	// Looks are by target, sorted by name; Interactions by object and kind.
	Looks        []Look        `json:"looks"`
	Interactions []Interaction `json:"interactions"`
	// WalkedCM is the length of the way that the visitor walked; teleports are
	// none. Poses cut corners, so a sum over them is a little less.
	WalkedCM float64 `json:"walked_cm"`
}

// Visit is one stay in one zone.
type Visit struct {
	Zone      string `json:"zone"`
	Level     int16  `json:"level"`
	EnteredMS int64  `json:"entered_ms"`
	LeftMS    int64  `json:"left_ms"`
	// ClosedBy is exit, next_enter or session_end.
	ClosedBy string `json:"closed_by"`
}

// Look sums up the looks at one target.
type Look struct {
	Target string `json:"target"`
	Looks  int    `json:"looks"`
	MS     int64  `json:"ms"`
}

// Interaction is how often one thing was done to one object.
type Interaction struct {
	Object string `json:"object"`
	Kind   string `json:"kind"`
	Times  int    `json:"times"`
}

// typeNames returns counts by the names of types, without those that are 0.
func typeNames(counts *[event.Error + 1]int) map[string]int {
	named := map[string]int{}
	for kind, n := range counts {
		if n > 0 {
			named[event.Type(kind).String()] = n
		}
	}
	return named
}

// sum adds up the sessions.
func sum(sessions []Session) Totals {
	t := Totals{Events: map[string]int{}, Rejected: map[string]int{}}
	seen := map[string]bool{}
	for i := range sessions {
		s := &sessions[i]
		t.Tours++
		t.Batches += s.Batches
		t.Reports += s.Reports
		t.Repeats += s.Repeats
		t.Accepted += s.Accepted
		for name, n := range s.Events {
			t.Events[name] += n
		}
		for code, n := range s.Rejected {
			t.Rejected[code] += n
		}
		if s.Crashed {
			t.Crashed++
		}
		switch {
		case s.Customer == "":
			t.Nameless++
		case seen[s.Customer]:
			t.Returned++
		default:
			seen[s.Customer] = true
			t.Customers++
		}
	}
	t.Requests = t.Batches + t.Reports + t.Repeats
	return t
}

// RejectedEvents returns the number of rejected events, each counted once.
func (t *Totals) RejectedEvents() int {
	n := 0
	for _, code := range slices.Sorted(maps.Keys(t.Rejected)) {
		n += t.Rejected[code]
	}
	return n
}
