package recording

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Expectation is what a recording must come to when it is played once.
type Expectation struct {
	// Requests counts the lines, repeats included.
	Requests int
	// Repeats counts the requests that are byte for byte an earlier one again, as
	// a headset sends them that heard no answer. They add nothing.
	Repeats int
	// Events counts the events that can be accepted, of each batch once.
	Events int
	// Untimed counts the events that cannot: they have no timestamp.
	Untimed int
	// Sessions are in the order of their first request.
	Sessions []Session
	// LookTimeMS is, per target that was looked at, the sum of the lengths of
	// the looks in milliseconds.
	LookTimeMS map[string]int64
}

// Session is what a recording says of one session.
type Session struct {
	// ID is the session's id as it is first written.
	ID string
	// Start and End are as reported, in Unix seconds; 0 when nothing was.
	Start, End int64
	// Customer and Property are as reported, empty when nothing was.
	Customer, Property string
	// Events counts its accepted events.
	Events int
}

// Expect reads the recording at path. It fails on a request that it cannot judge:
// any other than a batch or a session post in the form that recordings have.
func Expect(path string) (Expectation, error) {
	reader, err := Open(path)
	if err != nil {
		return Expectation{}, err
	}
	want, err := expect(reader)
	return want, errors.Join(err, reader.Close())
}

func expect(reader *Reader) (Expectation, error) {
	count := counter{
		want:     Expectation{LookTimeMS: map[string]int64{}},
		seen:     map[[sha256.Size]byte]bool{},
		sessions: map[string]int{},
	}
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return count.want, nil
		}
		if err == nil {
			err = count.add(request)
		}
		if err != nil {
			return Expectation{}, fmt.Errorf("expectation of %s, line %d: %w", reader.name, reader.line, err)
		}
	}
}

// counter adds up an expectation.
type counter struct {
	want     Expectation
	seen     map[[sha256.Size]byte]bool // digests of requests
	sessions map[string]int             // position in want.Sessions by the id's normal form
}

// add counts one request. A repeat is known by what decides the identity of a
// batch, so it is skipped whole.
func (c *counter) add(request Request) error {
	c.want.Requests++
	digest := sha256.Sum256([]byte(request.Path + "\n" + request.header("Idempotency-Key") + "\n" + request.Body))
	if c.seen[digest] {
		c.want.Repeats++
		return nil
	}
	c.seen[digest] = true
	switch request.endpoint() {
	case "batch":
		return c.addBatch(request.Body)
	case "session":
		return c.addReport(request.Body)
	default:
		return fmt.Errorf("path %s is neither of a batch nor of a session", request.Path)
	}
}

// addBatch counts the events of a tracking post. An event's own session id wins
// over its batch's.
func (c *counter) addBatch(body string) error {
	var batch struct {
		SessionID string `json:"session_id"`
		Events    []struct {
			SessionID string   `json:"session_id"`
			Type      string   `json:"event_type"`
			Timestamp any      `json:"timestamp"`
			Target    string   `json:"gaze_target"`
			DwellMS   *float64 `json:"dwell_time_ms"`
		} `json:"events"`
	}
	if err := json.Unmarshal([]byte(body), &batch); err != nil {
		return err
	}
	for i, event := range batch.Events {
		id := event.SessionID
		if id == "" {
			id = batch.SessionID
		}
		if id == "" {
			return fmt.Errorf("event %d has no session", i)
		}
		session := c.session(id)
		if event.Timestamp == nil {
			c.want.Untimed++
			continue
		}
		c.want.Events++
		session.Events++
		if event.Type == "gaze" && event.DwellMS != nil {
			c.want.LookTimeMS[event.Target] += int64(math.Round(*event.DwellMS))
		}
	}
	return nil
}

// addReport notes what a session post says. Members that it does not have leave
// what an earlier post said.
func (c *counter) addReport(body string) error {
	var report struct {
		SessionID string `json:"session_id"`
		Start     any    `json:"session_start"`
		End       any    `json:"session_end"`
		Customer  string `json:"customer_id"`
		Property  string `json:"property_id"`
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		return err
	}
	if report.SessionID == "" {
		return errors.New("session post without a session id")
	}
	start, errStart := unixSeconds(report.Start)
	end, errEnd := unixSeconds(report.End)
	if err := errors.Join(errStart, errEnd); err != nil {
		return err
	}
	session := c.session(report.SessionID)
	if report.Start != nil {
		session.Start = start
	}
	if report.End != nil {
		session.End = end
	}
	if report.Customer != "" {
		session.Customer = report.Customer
	}
	if report.Property != "" {
		session.Property = report.Property
	}
	return nil
}

// session returns the session of an id, whatever its spelling. The pointer holds
// until the next call.
func (c *counter) session(id string) *Session {
	_, key := cutEngine(id)
	if digits := guidDigits(key); digits != "" {
		key = digits
	}
	at, known := c.sessions[key]
	if !known {
		at = len(c.want.Sessions)
		c.sessions[key] = at
		c.want.Sessions = append(c.want.Sessions, Session{ID: id})
	}
	return &c.want.Sessions[at]
}

// unixSeconds reads the one form of time that recordings have in session posts:
// whole seconds, as a number or as text.
func unixSeconds(value any) (int64, error) {
	switch value := value.(type) {
	case nil:
		return 0, nil
	case string:
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("time %q is not in whole seconds", value)
		}
		return seconds, nil
	case float64:
		if value != math.Trunc(value) || math.Abs(value) > 1e12 {
			return 0, fmt.Errorf("time %v is not in whole seconds", value)
		}
		return int64(value), nil
	default:
		return 0, fmt.Errorf("time %v is neither a number nor text", value)
	}
}
