package sim

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Ledger adds up posts. What is not added did not happen, so a run that is cut
// short is accounted for like a whole one. The zero value is ready. It is for
// one goroutine.
type Ledger struct {
	accounts map[*session]*account
	opened   []*account
}

// account is what a session's posts said so far.
type account struct {
	session                   *session
	said                      content // all of it but the order of posts
	batches, reports, repeats int
}

// Add counts a post that was made. Posts of one headset are added in the order
// of its stream, from one reading of it.
func (l *Ledger) Add(post Post) {
	a := l.account(post.said.session)
	switch {
	case post.Repeat:
		a.repeats++
	case post.said.report != nil:
		a.reports++
		a.said.report = merged(a.said.report, post.said.report)
	default:
		a.batches++
		a.said.add(post.said)
	}
}

func (l *Ledger) account(s *session) *account {
	if a := l.accounts[s]; a != nil {
		return a
	}
	if l.accounts == nil {
		l.accounts = map[*session]*account{}
	}
	a := &account{session: s}
	l.accounts[s] = a
	l.opened = append(l.opened, a)
	return a
}

// add adds what another batch of the session says.
func (c *content) add(other *content) {
	if other.accepted > 0 {
		if c.accepted == 0 {
			c.first, c.last = other.first, other.last
		}
		c.first, c.last = min(c.first, other.first), max(c.last, other.last)
	}
	c.accepted += other.accepted
	for kind, n := range other.events {
		c.events[kind] += n
	}
	c.rejected = append(c.rejected, other.rejected...)
	c.marks = append(c.marks, other.marks...)
	c.looks = append(c.looks, other.looks...)
	c.runs = append(c.runs, other.runs...)
	c.touches = append(c.touches, other.touches...)
	c.walkedCM += other.walkedCM
}

// merged returns what two reports say together. They never contradict each other.
func merged(a, b *report) *report {
	if a == nil {
		return b
	}
	return &report{
		start: cmp.Or(b.start, a.start), end: cmp.Or(b.end, a.end),
		customer: cmp.Or(b.customer, a.customer), property: cmp.Or(b.property, a.property), device: cmp.Or(b.device, a.device),
	}
}

// Truth draws up what follows from the posts so far.
func (l *Ledger) Truth() Truth {
	var t Truth
	for _, a := range l.opened {
		t.Sessions = append(t.Sessions, a.truth())
	}
	slices.SortFunc(t.Sessions, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.Headset, b.Headset), cmp.Compare(a.Tour, b.Tour))
	})
	t.Totals = sum(t.Sessions)
	return t
}

func (a *account) truth() Session {
	said := &a.said
	s := Session{
		ID: a.session.id, Headset: a.session.headset, Tour: a.session.tour, Plan: a.session.plan.PropertyID,
		ClockAheadMS: a.session.aheadMS, Crashed: a.session.crashed,
		FirstMS: said.first, LastMS: said.last, WalkedCM: said.walkedCM,
		Batches: a.batches, Reports: a.reports, Repeats: a.repeats,
		Accepted: said.accepted, Events: typeNames(&said.events), Rejected: map[string]int{},
		Looks: said.sumLooks(), Interactions: said.sumTouches(),
	}
	s.NormalID, _ = event.NormaliseSessionID(s.ID)
	for _, code := range said.rejected {
		s.Rejected[string(code)]++
	}
	if r := said.report; r != nil {
		s.Property, s.Customer, s.Device, s.StartMS, s.EndMS = r.property, r.customer, r.device, r.start, r.end
	}
	s.Visits = visits(said.marks, cmp.Or(s.EndMS, s.LastMS))
	return s
}

// shortestLook is how long a run of samples must last to be a look, in
// milliseconds.
const shortestLook = 300

// sumLooks sums looks by target: those that brought their length, and runs of
// samples, which batches may have cut.
func (c *content) sumLooks() []Look {
	sums := map[string]*Look{}
	note := func(target string, ms int64) {
		if sums[target] == nil {
			sums[target] = &Look{Target: target}
		}
		sums[target].Looks++
		sums[target].MS += ms
	}
	for _, look := range c.looks {
		note(look.target, look.ms)
	}
	runs := slices.Clone(c.runs)
	slices.SortFunc(runs, func(a, b sampleRun) int { return cmp.Compare(a.from, b.from) })
	for i := 0; i < len(runs); {
		run := runs[i]
		for i++; i < len(runs) && run.continues(runs[i].target, runs[i].from); i++ {
			run.to = runs[i].to
		}
		if run.to-run.from >= shortestLook {
			note(run.target, run.to-run.from)
		}
	}
	var looks []Look
	for _, target := range slices.Sorted(maps.Keys(sums)) {
		looks = append(looks, *sums[target])
	}
	return looks
}

func (c *content) sumTouches() []Interaction {
	sums := map[contact]int{}
	for _, touch := range c.touches {
		sums[touch]++
	}
	var all []Interaction
	for touch, times := range sums {
		all = append(all, Interaction{Object: touch.object, Kind: touch.kind, Times: times})
	}
	slices.SortFunc(all, func(a, b Interaction) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}
