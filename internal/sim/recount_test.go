package sim

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// recount is what an ingest and a fold make of posts: the truth once more, by
// the pipeline's own means.
type recount struct {
	decoder  *unreal.Decoder
	received func(Post) event.Micros
	receipts uint64
	stored   map[event.UUID][16]byte // batches by id
	sessions map[string]*told
}

// told is what is stored of a session.
type told struct {
	id                        string
	batches, reports, repeats int
	events                    []facts.Event
	said                      []facts.Report
	shift                     int64 // of the declared times
	rejected                  map[string]int
	poses                     []event.Event
}

func newRecount(received func(Post) event.Micros) *recount {
	return &recount{
		decoder: unreal.NewDecoder(event.DefaultLimits(), nil), received: received,
		stored: map[event.UUID][16]byte{}, sessions: map[string]*told{},
	}
}

// atOnce receives each post when it is sent.
func atOnce(run *Run) func(Post) event.Micros {
	return func(p Post) event.Micros { return event.Micros((run.startMS + p.AtMS) * 1000) }
}

// allAtTheEnd receives everything when the run is over, as a run played at full
// speed is.
func allAtTheEnd(run *Run) func(Post) event.Micros {
	return func(p Post) event.Micros { return event.Micros((run.startMS+run.endMS)*1000 + p.AtMS) }
}

// check is what tests and rapid's checks have in common.
type check interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// add decodes a post and stores it unless it is known.
func (r *recount) add(t check, post Post) {
	t.Helper()
	r.receipts++
	request := unreal.Request{
		Tenant: "acme", Endpoint: unreal.EndpointBatch, IdempotencyKey: post.Headers["Idempotency-Key"], Body: post.Body,
		ReceivedAt: r.received(post),
	}
	binary.BigEndian.PutUint64(request.ReceiptID[:], r.receipts)
	var batch event.Batch
	var err error
	if strings.HasSuffix(post.Path, "/session") {
		request.Endpoint = unreal.EndpointSession
		_, err = r.decoder.Session(&request, &batch)
	} else {
		err = r.decoder.Batch(&request, &batch)
	}
	if err != nil {
		t.Fatalf("post at %d ms of headset %d: %v\n%s", post.AtMS, post.Headset, err, post.Body)
	}
	if len(batch.Events) != post.Accepted || len(batch.Rejected) != post.Rejected {
		t.Fatalf("post at %d ms of headset %d: %d accepted and %d rejected, want %d and %d: %+v",
			post.AtMS, post.Headset, len(batch.Events), len(batch.Rejected), post.Accepted, post.Rejected, batch.Rejected)
	}
	digest, repeat := r.stored[batch.ID]
	if repeat != post.Repeat || repeat && digest != batch.Digest {
		t.Fatalf("post at %d ms of headset %d: a repeat %t, want %t", post.AtMS, post.Headset, repeat, post.Repeat)
	}
	r.stored[batch.ID] = batch.Digest
	r.store(post, &batch)
}

func (r *recount) store(post Post, batch *event.Batch) {
	id := post.SessionID()
	normal, _ := event.NormaliseSessionID(id)
	s := r.sessions[normal]
	if s == nil {
		s = &told{id: id, rejected: map[string]int{}}
		r.sessions[normal] = s
	}
	switch {
	case post.Repeat:
		s.repeats++
		return
	case batch.Report != nil:
		s.reports++
		s.said = append(s.said, facts.FromReport(batch.Report, batch.ReceivedAt, batch.ID))
		if batch.Report.Start != nil || batch.Report.End != nil {
			s.shift = batch.Report.ClockShiftMS
		}
		return
	}
	s.batches++
	for _, rejection := range batch.Rejected {
		s.rejected[string(rejection.Code)]++
	}
	for i := range batch.Events {
		e := &batch.Events[i]
		s.events = append(s.events, facts.FromEvent(e, batch.ReceivedAt, int64(r.receipts)))
		if e.Type == event.Pose || e.Type == event.Teleport || e.Type == event.ZoneEnter {
			s.poses = append(s.poses, *e)
		}
	}
}

// truth is what the fold says of each session, in the client's times.
func (r *recount) truth() map[string]Session {
	all := map[string]Session{}
	for normal, s := range r.sessions {
		f := facts.Of(slices.Clone(s.events), s.said).Facts()
		client := func(at event.Micros, shift int64) int64 { return int64(at)/1000 - shift }
		got := Session{
			NormalID: normal, Property: f.PropertyID, Customer: f.CustomerID, Device: f.Device,
			Batches: s.batches, Reports: s.reports, Repeats: s.repeats,
			Accepted: int(f.Events + f.OverLimit), Events: map[string]int{}, Rejected: s.rejected,
		}
		if f.Events > 0 {
			got.FirstMS, got.LastMS = client(f.First, f.ShiftMS), client(f.Last, f.ShiftMS)
		}
		if f.StartDeclared {
			got.StartMS = client(f.Start, s.shift)
		}
		if f.EndDeclared {
			got.EndMS = client(f.End, s.shift)
		}
		for _, count := range f.Counts {
			got.Events[count.Type.String()] += int(count.Events)
		}
		for _, v := range f.Visits {
			got.Visits = append(got.Visits, Visit{
				v.Zone, v.Level, client(v.Entered, f.ShiftMS), client(v.Left, f.ShiftMS), v.ClosedBy.String(),
			})
		}
		got.Looks, got.Interactions = sumFacts(f)
		all[normal] = got
	}
	return all
}

// sumFacts sums looks and interactions over zones and hours.
func sumFacts(f *facts.Facts) (looks []Look, interactions []Interaction) {
	byTarget := map[string]Look{}
	for _, l := range f.Looks {
		byTarget[l.Target] = Look{l.Target, byTarget[l.Target].Looks + int(l.Looks), byTarget[l.Target].MS + l.LookMS}
	}
	for _, target := range slices.Sorted(maps.Keys(byTarget)) {
		looks = append(looks, byTarget[target])
	}
	touches := content{}
	for _, i := range f.Interactions {
		for range i.Times {
			touches.touches = append(touches.touches, contact{i.Object, i.Kind})
		}
	}
	return looks, touches.sumTouches()
}

// comparable leaves out what no post says.
func comparable(s Session) Session {
	s.ID, s.Headset, s.Tour, s.Plan, s.ClockAheadMS, s.Crashed, s.WalkedCM = "", 0, 0, "", 0, false, 0
	return s
}
