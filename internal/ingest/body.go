package ingest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// readBufferSize is the size of the pooled buffers between a connection and a
// body.
const readBufferSize = 32 << 10

// readBody reads and inflates the request's body into x.post.Body. Room for it
// is reserved first and given back by Server.end.
func (s *Server) readBody(x *exchange) error {
	encoding := parseEncoding(x.request.Header.Get("Content-Encoding"))
	s.metrics.bodies[encoding].Inc()
	limit := s.options.Limits.BodyBytes
	size := x.request.ContentLength // -1 when it is not known
	switch {
	case encoding == encodingOther:
		return refused(codeUnsupportedEncoding, "The body's Content-Encoding is not supported. Send it plain, or as gzip or zstd.")
	case size > limit:
		return tooLarge("as sent", limit)
	case !s.reserve(x, max(size, leastCharge)):
		return errNoRoom()
	}
	body, err := s.receive(x, size, limit)
	if err != nil {
		return err
	}
	if encoding != encodingIdentity && body != "" {
		if body, err = s.inflate(x, encoding, body); err != nil {
			return err
		}
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
	case err != nil:
		x.post.Body = body // what is kept of it
		return "", refused(codeBrokenEncoding, "The body is not valid "+encoding+".").because(err)
	}
	return plain, nil
}

// receive takes the body off the connection. One of known size is read into
// memory of just that size: the batch shares it.
func (s *Server) receive(x *exchange, size, limit int64) (string, error) {
	if size == 0 {
		return "", nil
	}
	// Where there is no connection, as in a test, there is no deadline either.
	_ = http.NewResponseController(x.response).SetReadDeadline(time.Now().Add(s.options.BodyTimeout))
	var body strings.Builder
	body.Grow(int(max(size, 0)))
	reserved := max(size, leastCharge)
	buffer, _ := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	for {
		n, err := x.request.Body.Read(*buffer)
		total := int64(body.Len() + n)
		if total > limit {
			return "", tooLarge("as sent", limit)
		}
		// The builder doubles, and so does the reservation.
		for ; total > reserved; reserved *= 2 {
			if !s.reserve(x, reserved) {
				return "", errNoRoom()
			}
		}
		body.Write((*buffer)[:n])
		if errors.Is(err, io.EOF) {
			// The server takes the deadline away with the body's end.
			return body.String(), nil
		}
		if err != nil {
			return "", s.interrupted(x, err)
		}
	}
}

// interrupted says why a body did not come whole. The error itself is dropped:
// it names the client's address.
func (s *Server) interrupted(x *exchange, err error) error {
	// Bytes that are still under way would be taken for the next request.
	x.response.Header().Set("Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refused(codeBodyTimeout, fmt.Sprintf("The body did not arrive within %s.", s.options.BodyTimeout))
	}
	x.vanished = true
	return refused(codeBodyInterrupted, "The connection or the body ended before the body was complete.")
}

func tooLarge(state string, limit int64) *problem {
	return refused(codeBodyTooLarge, fmt.Sprintf("The body is larger than %d bytes %s. Send fewer events at once.", limit, state))
}

func errNoRoom() *problem {
	return refused(codeOverloaded, "The server is reading as many bodies as it can hold. Send the same request again.")
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
