package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// unread answers a body that the decoder could not read, after its beginning
// was kept: an operator can see what the client sent, which the client's owner
// will not notice by himself.
func (s *Server) unread(x *exchange, err error) error {
	bad, ok := errors.AsType[*unreal.BodyError](err)
	if !ok {
		return err
	}
	p := &gate.Problem{
		Kind: codeUnreadableBody, Code: bad.Code, Detail: bad.Detail,
		Fields: []gate.Field{{Name: bad.Field, Code: bad.Code, Detail: bad.Detail, Offset: new(bad.Offset)}},
	}
	for _, key := range bad.ReceivedKeys[:min(len(bad.ReceivedKeys), maxReceivedKeys)] {
		p.ReceivedKeys = append(p.ReceivedKeys, quotable(key, maxKeyBytes))
	}
	if bad.Code == codeTooManyEvents {
		// It can be read and is refused for its size, as a large body is.
		p.Kind = codeTooManyEvents
		return p
	}
	s.keepUnreadable(x, p)
	return p
}

// keptBytes is how much of an unreadable body is kept.
const keptBytes = 4 << 10

// keepUnreadable stores the beginning of x's body as a rejection, scrubbed of
// what looks like a credential. It is best
// effort: whether it succeeds does not change the answer, which is a refusal.
func (s *Server) keepUnreadable(x *exchange, why error) {
	p, ok := errors.AsType[*gate.Problem](why)
	if !ok {
		return
	}
	owner := x.KeyID
	if owner == "" {
		owner = "tenant " + x.Tenant
	}
	if !s.unreadable.allow(owner, x.post.ReceivedAt.Time()) {
		s.metrics.unreadable.overLimit.Inc()
		return
	}
	raw := x.post.Body
	if raw == "" {
		raw = x.post.Query // everything was in the address
	}
	if p.Kind == codeBrokenEncoding {
		// Nobody can look into it, so nobody can say that no key is in it.
		raw = fmt.Sprintf("%d bytes with the content encoding %s, not kept", len(raw), parseEncoding(x.Request.Header.Get("Content-Encoding")))
	}
	rejection := event.Rejection{
		Index: -1, Code: event.UnreadableBody, Detail: quotable(p.Detail, maxDetailBytes),
		Raw: scrubbed(raw),
	}
	if len(p.Fields) > 0 {
		rejection.Field = quotable(p.Fields[0].Name, maxKeyBytes)
	}
	x.batch.Reset()
	x.batch.Tenant = x.Tenant
	// The id comes from the content, so that a client that repeats the same
	// body for ever leaves it once.
	x.batch.ID = event.NameUUID("unreadable_body", x.Tenant, string(x.post.Endpoint), x.post.Query, x.post.Body)
	x.batch.Digest = event.DigestOf(x.post.Body)
	x.batch.ReceiptID = x.post.ReceiptID
	x.batch.ReceivedAt = x.post.ReceivedAt
	x.batch.CorrelationID = x.CorrelationID
	x.batch.Rejected = append(x.batch.Rejected, rejection)
	if err := s.submit(x, &x.batch); err != nil {
		s.metrics.unreadable.notKept.Inc()
		s.log.LogAttrs(x.Request.Context(), slog.LevelWarn, "unreadable body not kept",
			slog.String("correlation_id", x.CorrelationID), slog.Any("error", err))
		return
	}
	s.metrics.unreadable.kept.Inc()
	s.metrics.judged(&x.batch, x.KeyID)
}

// hourlyLimit counts per owner and hour. It remembers a bounded number of
// owners; one that was forgotten starts anew.
type hourlyLimit struct {
	perHour int

	mu     sync.Mutex // guards owners' read-and-write
	owners *lru.Cache[string, hourCount]
}

type hourCount struct {
	hour  int64
	count int
}

// rememberedOwners bounds the memory of an hourlyLimit.
const rememberedOwners = 10_000

func newHourlyLimit(perHour int) (*hourlyLimit, error) {
	owners, err := lru.New[string, hourCount](rememberedOwners)
	return &hourlyLimit{perHour: perHour, owners: owners}, err
}

// allow reports whether owner has one more in the hour of now, and takes it.
func (l *hourlyLimit) allow(owner string, now time.Time) bool {
	hour := now.Unix() / int64(time.Hour/time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	c, _ := l.owners.Get(owner)
	if c.hour != hour {
		c = hourCount{hour: hour}
	}
	if c.count >= l.perHour {
		return false
	}
	c.count++
	l.owners.Add(owner, c)
	return true
}
