package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nexero-vr/nexero/internal/gate"
)

// readBufferSize is the size of the pooled buffers between a connection and a
// body.
const readBufferSize = 32 << 10

// readBody reads and inflates the request's body into x.post.Body. Room for it
// is reserved as it comes and given back by Server.end.
func (s *Server) readBody(x *exchange) error {
	encoding := parseEncoding(x.Request.Header.Get("Content-Encoding"))
	s.metrics.bodies[encoding].Inc()
	limit := s.options.Limits.BodyBytes
	size := x.Request.ContentLength // -1 when it is not known
	switch {
	case encoding == encodingOther:
		return unsupported(x, "The body's Content-Encoding is not supported. Send it plain, or as gzip or zstd.")
	case size > limit:
		return tooLarge("as sent", limit)
	case size > s.budget.left(), !s.reserve(x, leastCharge):
		// A body that has no room now is not begun. That it has some is no
		// promise: others arrive at the same time.
		return errNoRoom()
	}
	if err := x.TakeBytes(size); err != nil {
		return err
	}
	body, err := s.receive(x, size, limit)
	if err != nil {
		x.Settle(x.reserved) // about what came
		return err
	}
	x.Settle(int64(len(body)))
	if encoding != encodingIdentity && body != "" {
		if body, err = s.inflate(x, encoding, body); err != nil {
			return err
		}
		x.Settle(int64(len(body)))
	}
	x.post.Body = body
	return nil
}

// inflate replaces the compressed body by the plain one. Room for the largest
// result is taken while it works, and what was not needed returned at once.
func (s *Server) inflate(x *exchange, encoding, body string) (string, error) {
	limit := s.options.Limits.InflatedBytes
	if !s.reserve(x, limit) {
		return "", errNoRoom()
	}
	plain, err := s.inflater.inflate(encoding, body)
	s.unreserve(x, limit-int64(len(plain)))
	switch {
	case errors.Is(err, errInflatedTooLarge):
		return "", tooLarge("inflated", limit)
	case errors.Is(err, errWindowTooLarge):
		return "", unsupported(x, fmt.Sprintf("The body's zstd frame asks for a window of more than %d bytes. Compress it with a smaller window.", zstdWindow))
	case err != nil:
		x.post.Body = body // what is kept of it
		return "", gate.Refused(codeBrokenEncoding, "The body is not valid "+encoding+".").Because(err)
	}
	return plain, nil
}

// firstStep is the memory that a body's first bytes get. It doubles from there
// up to the size that the client stated.
const firstStep = 64 << 10

// receive takes the body off the connection. Memory and budget grow with what
// has arrived: a header that promises much must not take the room of those who
// send. A body of known size ends in memory of just that size: the batch
// shares it.
func (s *Server) receive(x *exchange, size, limit int64) (string, error) {
	if size == 0 {
		return "", nil
	}
	s.arrivals.begin(x, s.options.BodyTimeout)
	defer func() { s.arrivals.end(x) }()
	body := new(strings.Builder)
	var room int64
	buffer, _ := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	for {
		n, err := x.Request.Body.Read(*buffer)
		total := int64(body.Len() + n)
		if total > limit {
			return "", tooLarge("as sent", limit)
		}
		if total > room {
			most := limit
			if size > 0 {
				most = size
			}
			grown := min(max(2*room, firstStep, total), max(most, total))
			if !s.reserve(x, max(grown-max(room, leastCharge), 0)) {
				return "", errNoRoom()
			}
			room = grown
			body = enlarged(body, int(room))
		}
		body.Write((*buffer)[:n])
		if errors.Is(err, io.EOF) {
			x.BodyOver = true
			return body.String(), nil
		}
		if err != nil {
			x.BodyOver = true
			return "", s.interrupted(x, err)
		}
	}
}

// enlarged returns a builder of room bytes that holds what body does. Its own
// Grow would make more than twice of that.
func enlarged(body *strings.Builder, room int) *strings.Builder {
	larger := new(strings.Builder)
	larger.Grow(room)
	larger.WriteString(body.String())
	return larger
}

// interrupted says why a body did not come whole. The error itself is dropped:
// it names the client's address.
func (s *Server) interrupted(x *exchange, err error) error {
	// Bytes that are still under way would be taken for the next request.
	x.Response.Header().Set("Connection", "close")
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		x.Vanished = true
		return gate.Refused(codeBodyInterrupted, "The connection or the body ended before the body was complete.")
	case s.draining.Load():
		return gate.Refused(codeStopping, "This server is stopping and the body came too slowly. Send the same bytes again.")
	}
	return gate.Refused(codeBodyTimeout, fmt.Sprintf("The body did not arrive within %s.", s.options.BodyTimeout))
}

// unsupported refuses an encoding and says which there are.
func unsupported(x *exchange, detail string) *gate.Problem {
	x.Response.Header().Set("Accept-Encoding", "gzip, zstd")
	return gate.Refused(codeUnsupportedEncoding, detail)
}

func tooLarge(state string, limit int64) *gate.Problem {
	return gate.Refused(codeBodyTooLarge, fmt.Sprintf("The body is larger than %d bytes %s. Send fewer events at once.", limit, state))
}

func errNoRoom() *gate.Problem {
	return gate.Refused(gate.Overloaded, "The server is reading as many bodies as it can hold. Send the same request again.")
}

// reserve takes n bytes of the budget for x.
func (s *Server) reserve(x *exchange, n int64) bool {
	if !s.budget.acquire(n) {
		return false
	}
	x.reserved += n
	return true
}

// unreserve gives n of x's bytes back.
func (s *Server) unreserve(x *exchange, n int64) {
	x.reserved -= n
	s.budget.release(n)
}
