package ingest

import (
	"context"
	"errors"
	"net/http"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// postBatch takes a batch of events.
func (s *Server) postBatch(x *exchange) error {
	return s.takeEvents(x, unreal.EndpointBatch, s.deps.Decoder.Batch)
}

// postEvent takes a single event. Unlike the first version's, it is refused
// with 400 only when it cannot be read or names no session; one that cannot be
// accepted is kept and listed, as in a batch.
func (s *Server) postEvent(x *exchange) error {
	return s.takeEvents(x, unreal.EndpointEvent, s.deps.Decoder.Event)
}

// takeEvents stores what decode makes of a post, and answers with what became of
// its events.
func (s *Server) takeEvents(x *exchange, endpoint unreal.Endpoint, decode func(*unreal.Request, *event.Batch) error) error {
	if err := s.read(x, endpoint, decode); err != nil {
		return err
	}
	duplicate, err := s.commit(x)
	if err != nil {
		return err
	}
	s.recordTracking(x)
	b := &x.batch
	o := newObject(x.answer)
	o.text("status", "received")
	if endpoint == unreal.EndpointBatch {
		total := len(b.Events) + len(b.Rejected)
		o.number("total_events", int64(total))
		o.number("processed", int64(len(b.Events)))
		o.number("failed", int64(len(b.Rejected)))
		o.percent("success_rate", len(b.Events), total)
	}
	o.timestamp("timestamp", s.deps.Now())
	o.uuid("batch_id", b.ID)
	o.flag("duplicate", duplicate)
	if len(b.Sessions) == 1 && b.Sessions[0].ClientID != "" {
		o.text("session_id", b.Sessions[0].ClientID)
	}
	o.rejections("rejected", b.Rejected, s.options.ReportedRejections)
	x.answer = o.end()
	x.Write(http.StatusAccepted, x.answer)
	return nil
}

// postSession takes what a client says about a session as a whole, and
// postSessionEnd the same under a path whose clients expect 200.
func (s *Server) postSession(x *exchange) error { return s.takeReport(x, http.StatusCreated) }

func (s *Server) postSessionEnd(x *exchange) error { return s.takeReport(x, http.StatusOK) }

func (s *Server) takeReport(x *exchange, status int) error {
	var said unreal.SessionPost
	err := s.read(x, unreal.EndpointSession, func(post *unreal.Request, b *event.Batch) (err error) {
		said, err = s.deps.Decoder.Session(post, b)
		return err
	})
	if err != nil {
		return err
	}
	o := newObject(x.answer)
	if said.Ignored {
		o.text("status", "ignored")
		o.text("message", "The post says nothing; nothing was stored.")
		o.timestamp("received_at", x.post.ReceivedAt.Time())
	} else {
		duplicate, err := s.commit(x)
		if err != nil {
			return err
		}
		known := s.recordReport(x)
		if length, ok := known.length(); ok && !said.HasDuration {
			// The post brings the end alone; its start came earlier.
			said.Duration = length
		}
		o.text("status", "success")
		o.text("message", "Session received")
		o.text("session_id", said.SessionID)
		o.number("duration_seconds", int64(said.Duration.Seconds()))
		o.timestamp("received_at", x.post.ReceivedAt.Time())
		o.uuid("batch_id", x.batch.ID)
		o.flag("duplicate", duplicate)
	}
	x.answer = o.end()
	crashpoint.At(crashpoint.IngestBeforeAnswer)
	x.Write(status, x.answer)
	return nil
}

// read is the way of every post until it is in x.batch.
func (s *Server) read(x *exchange, endpoint unreal.Endpoint, decode func(*unreal.Request, *event.Batch) error) error {
	if err := s.admit(x, endpoint); err != nil {
		return err
	}
	decoded := s.step(x, "decode")
	err := decode(&x.post, &x.batch)
	decoded()
	if err != nil {
		return s.unread(x, err)
	}
	return nil
}

// admit does what comes before decoding, in the order in which it is cheapest
// to refuse: who is it, is there room, what did it send.
func (s *Server) admit(x *exchange, endpoint unreal.Endpoint) error {
	if err := s.guard.Authenticate(&x.Exchange); err != nil {
		return err
	}
	if err := s.readBody(x); err != nil {
		if x.post.Body != "" {
			// It came whole and could not be inflated.
			s.describe(x, endpoint)
			s.keepUnreadable(x, err)
		}
		return err
	}
	s.describe(x, endpoint)
	return nil
}

// describe stamps the post. The time of receipt is when the body was there:
// nothing in it can honestly be later.
func (s *Server) describe(x *exchange, endpoint unreal.Endpoint) {
	x.post.Tenant, x.post.Endpoint = x.Tenant, endpoint
	if x.Request.URL.RawQuery != "" {
		x.post.Query = canonicalQuery(x.Request.URL.RawQuery)
	}
	x.post.IdempotencyKey = x.Request.Header.Get("Idempotency-Key")
	x.post.ReceivedAt = event.MicrosOf(s.deps.Now())
	x.post.ReceiptID = event.UUID(newUUID())
	x.post.CorrelationID = x.CorrelationID
}

// commit stores x's batch in the queue. duplicate says that this replica has
// acknowledged the same batch before; false promises nothing.
func (s *Server) commit(x *exchange) (duplicate bool, err error) {
	digest, known := s.recent.Get(x.batch.ID)
	duplicate = known && digest == x.batch.Digest
	if err := s.submit(x, &x.batch); err != nil {
		return false, err
	}
	s.recent.Add(x.batch.ID, x.batch.Digest)
	s.metrics.judged(&x.batch, x.KeyID)
	crashpoint.At(crashpoint.IngestConfirmed)
	return duplicate, nil
}

// submit encodes b and waits for the queue.
func (s *Server) submit(x *exchange, b *event.Batch) (err error) {
	ctx, committed := s.beginCommit(x, b)
	defer func() { committed(err) }()
	encoded, err := envelope.AppendBatch(x.encoded[:0], b)
	if err != nil {
		return err // a bug: the decoder and the envelope disagree
	}
	x.encoded = encoded
	if len(encoded) > s.options.LargestBatch() {
		return tooLarge("decoded", int64(s.options.LargestBatch()))
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	waited := timer(s.metrics.commitSeconds)
	err = s.committer.Submit(ctx, encoded)
	waited()
	return s.unconfirmed(x, err)
}

// unconfirmed turns an error of the group commit into the answer.
func (s *Server) unconfirmed(x *exchange, err error) error {
	const again = " Nothing of the batch is stored. Send the same bytes again."
	const perhaps = " Send the same bytes again: a batch with valid times, a batch_id or an Idempotency-Key is stored once, however often it arrives."
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFull):
		return gate.Refused(codeQueueFull, "The queue has no room at the moment."+again).Because(err)
	case errors.Is(err, ErrTooLarge):
		return gate.Refused(codeQueueRefusesSize, "The queue is set up for smaller messages than this server sends."+again).Because(err)
	case errors.Is(err, ErrOverloaded):
		return gate.Refused(gate.Overloaded, "Too many batches wait for the queue."+again).Because(err)
	case errors.Is(err, ErrDraining):
		x.Response.Header().Set("Connection", "close")
		return gate.Refused(codeStopping, "This server is stopping."+again).Because(err)
	}
	if errors.Is(err, context.Canceled) {
		x.Vanished = true
	}
	s.metrics.waitersTimedOut.Inc()
	return gate.Refused(codeNotConfirmed, "The queue did not confirm the batch in time; it may be stored or not."+perhaps).Because(err)
}
