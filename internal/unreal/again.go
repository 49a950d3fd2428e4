package unreal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nexero-vr/nexero/internal/event"
)

// Rejected is an event that was rejected when its batch came, and what is still
// known of that batch.
type Rejected struct {
	// Tenant is whose batch it was.
	Tenant string
	// Raw is the event as it was kept, and Index its position in the batch.
	Raw   string
	Index int
	// Session is the batch's session as its client wrote it, empty when that is
	// not known. An event that names its own needs none.
	Session string
	// ReceivedAt is when the batch came, Now when it is judged again.
	ReceivedAt, Now event.Micros
	// AheadMS and DeadMS are what was added to times of the batch, in milliseconds:
	// to those of a clock that was ahead, which is less than 0, and to those of one
	// that had lost its date; 0 where that is not known.
	AheadMS, DeadMS int64
}

// ErrCut is an event of which only the beginning was kept.
var ErrCut = errors.New("unreal: the event was cut when it was kept")

// Again judges a rejected event once more, by the rules of now: b gets the event
// or the reason, one of the two. Its clock is corrected as of the batch's
// receipt, so the event takes the place among the batch's others that it would
// have had; but what lay in the future then is accepted when it does not any
// more. The error is [ErrCut], or that of a body that cannot be read.
func (d *Decoder) Again(r Rejected, b *event.Batch) error {
	if !json.Valid([]byte(r.Raw)) {
		return ErrCut
	}
	// The shift is what sent_at came to. Microseconds are never doubted.
	var sentAt string
	if r.AheadMS < 0 {
		sentAt = `"sent_at":` + strconv.FormatInt(int64(r.ReceivedAt)-r.AheadMS*1000, 10) + ","
	}
	if err := d.judge(&r, sentAt, r.ReceivedAt, b); err != nil {
		return err
	}
	if len(b.Rejected) > 0 && b.Rejected[0].Code == event.TimestampInFuture {
		if err := d.judge(&r, "", r.Now, b); err != nil {
			return err
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		e.Index = r.Index
		// Alone, an event of a dead clock happened at its receipt. Among the others
		// it keeps its distance from them, unless it is newer than all of them.
		if at := e.OccurredAt + event.Micros(r.DeadMS-e.ClockShiftMS)*1000; r.DeadMS > 0 && e.ClockShiftMS > 0 && at <= r.ReceivedAt {
			e.OccurredAt, e.ClockShiftMS = at, r.DeadMS
		}
	}
	for i := range b.Rejected {
		b.Rejected[i].Index = r.Index
	}
	return nil
}

// judge decodes the event in a batch of its own, as if received at the time given.
func (d *Decoder) judge(r *Rejected, sentAt string, at event.Micros, b *event.Batch) error {
	session, err := json.Marshal(r.Session)
	if err != nil {
		return fmt.Errorf("unreal: session of a rejected event: %w", err)
	}
	request := Request{
		Tenant: r.Tenant, Endpoint: EndpointBatch, ReceivedAt: at,
		Body: "{" + sentAt + `"session_id":` + string(session) + `,"events":[` + r.Raw + "]}",
	}
	return d.Batch(&request, b)
}
