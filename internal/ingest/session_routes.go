package ingest

import (
	"net/http"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
)

// maxShownID bounds the id of an answer, which is the client's own.
const maxShownID = 256

// getSessionStatus says what is known of a session: 200 also for one that is
// not known, as it always was, since clients ask before their first post.
func (s *Server) getSessionStatus(x *exchange) error {
	if err := s.guard.Authenticate(&x.Exchange); err != nil {
		return err
	}
	state, err := s.lookUp(x)
	if err != nil {
		return err
	}
	now := s.deps.Now()
	status := state.status(event.MicrosOf(now))
	o := newObject(x.answer)
	o.text("session_id", quotable(x.sessionID, maxShownID))
	o.text("status", status)
	if state.start == noStart {
		o.null("started_at")
	} else {
		o.timestamp("started_at", state.start.Time())
	}
	if status == "active" && state.start != noStart {
		o.number("duration_so_far", int64(span(state.start, event.MicrosOf(now)).Seconds()))
	} else {
		o.null("duration_so_far")
	}
	if state.ended() {
		o.timestamp("ended_at", state.end.Time())
		if length, known := state.length(); known {
			o.number("duration_seconds", int64(length.Seconds()))
		} else {
			o.null("duration_seconds")
		}
	}
	x.answer = o.end()
	x.Response.Header().Set("Cache-Control", "no-store")
	x.Write(http.StatusOK, x.answer)
	return nil
}

// postHeartbeat tells a client that its session is known. It writes nothing:
// what keeps a session from being dropped are its events.
func (s *Server) postHeartbeat(x *exchange) error {
	if err := s.guard.Authenticate(&x.Exchange); err != nil {
		return err
	}
	// Clients send a body or none; whatever it says, it must be off the
	// connection before the next request.
	if err := s.readBody(x); err != nil {
		return err
	}
	state, err := s.lookUp(x)
	switch {
	case err != nil:
		return err
	case state.seen == noTime:
		return gate.Refused(gate.UnknownSession, "Session not found: no post of it has arrived in the last seven days.")
	}
	o := newObject(x.answer)
	o.text("status", "alive")
	o.text("session_id", quotable(x.sessionID, maxShownID))
	o.timestamp("timestamp", s.deps.Now())
	x.answer = o.end()
	x.Write(http.StatusOK, x.answer)
	return nil
}
