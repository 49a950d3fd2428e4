package query

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// sessionBody is the answer about a session. Its members have the names of the
// columns of analytics.sessions, which docs/analytics.md defines; what is NULL
// there is null here.
type sessionBody struct {
	Session         string   `json:"session"`
	Property        *string  `json:"property"`
	PropertyName    *string  `json:"property_name"`
	Customer        *string  `json:"customer"`
	Device          *string  `json:"device"`
	Status          string   `json:"status"`
	StartedAt       *string  `json:"started_at"`
	EndedAt         *string  `json:"ended_at"`
	Day             *string  `json:"day"`
	TimeZone        string   `json:"time_zone"`
	DurationS       float64  `json:"duration_s"`
	ActiveS         float64  `json:"active_s"`
	Events          int64    `json:"events"`
	EventsOverLimit int64    `json:"events_over_limit"`
	Completeness    *float64 `json:"completeness"`
	Zones           int      `json:"zones"`
	EntryZone       *string  `json:"entry_zone"`
	ExitZone        *string  `json:"exit_zone"`
	StartDeclared   bool     `json:"start_declared"`
	EndDeclared     bool     `json:"end_declared"`
	ClockStepped    bool     `json:"clock_stepped"`
	Sealed          bool     `json:"sealed"`
	FirstReceivedAt *string  `json:"first_received_at"`
	LastReceivedAt  *string  `json:"last_received_at"`
	UpdatedAt       string   `json:"updated_at"`

	// A list has at most [postgres.MaxSessionRows]; the total says how many
	// there are.
	Visits      []visitBody `json:"visits"`
	VisitsTotal int         `json:"visits_total"`
	// Null while a worker stores them in a form that this program cannot read.
	Looks             []lookBody        `json:"looks"`
	LooksTotal        *int              `json:"looks_total"`
	Interactions      []interactionBody `json:"interactions"`
	InteractionsTotal *int              `json:"interactions_total"`
}

type visitBody struct {
	Visit     int     `json:"visit"`
	Zone      string  `json:"zone"`
	Level     int     `json:"level"`
	EnteredAt string  `json:"entered_at"`
	LeftAt    string  `json:"left_at"`
	LengthS   float64 `json:"length_s"`
	DwellS    float64 `json:"dwell_s"`
	ClosedBy  string  `json:"closed_by"`
}

type lookBody struct {
	Target string  `json:"target"`
	Zone   string  `json:"zone"`
	Looks  int64   `json:"looks"`
	LookS  float64 `json:"look_s"`
}

type interactionBody struct {
	Object       string `json:"object"`
	Kind         string `json:"kind"`
	Zone         string `json:"zone"`
	Interactions int64  `json:"interactions"`
}

// getSession answers with one session of the key's tenant.
func (s *Server) getSession(ctx context.Context, x *exchange) error {
	if p := parametersOf(x); p.err != nil {
		return p.err
	}
	id := x.context.Param("id")
	// The router unescapes what it matched only sometimes. No id has a percent
	// sign in it, so unescaping once more changes none.
	if plain, err := url.PathUnescape(id); err == nil {
		id = plain
	}
	session, err := s.deps.Reads.Session(ctx, x.Tenant, id)
	switch {
	case errors.Is(err, postgres.ErrNoSession):
		return gate.Refused(gate.UnknownSession, "There is no such session. One that has just begun appears some seconds after its first event.")
	case err != nil:
		return s.failed(err)
	}
	x.rows = 1
	return x.Show(http.StatusOK, sessionAnswer(&session))
}

func sessionAnswer(s *postgres.Session) sessionBody {
	body := sessionBody{
		Session: s.ID, Property: filled(s.Property), PropertyName: filled(s.PropertyName),
		Customer: filled(s.Customer), Device: filled(s.Device), Status: s.Status,
		StartedAt: instantOrNull(s.StartedAt), EndedAt: instantOrNull(s.EndedAt), TimeZone: s.TimeZone,
		DurationS: seconds(s.Duration), ActiveS: seconds(s.Active),
		Events: s.Events, EventsOverLimit: s.EventsOverLimit, Completeness: s.Completeness,
		Zones: s.Zones, EntryZone: filled(s.EntryZone), ExitZone: filled(s.ExitZone),
		StartDeclared: s.StartDeclared, EndDeclared: s.EndDeclared, ClockStepped: s.ClockStepped, Sealed: s.Sealed,
		FirstReceivedAt: instantOrNull(s.FirstReceivedAt), LastReceivedAt: instantOrNull(s.LastReceivedAt),
		UpdatedAt: timestamp(s.UpdatedAt),
		Visits:    make([]visitBody, 0, len(s.Visits)), VisitsTotal: s.VisitsTotal,
	}
	if s.Day != nil {
		body.Day = new(s.Day.Format(time.DateOnly))
	}
	for i := range s.Visits {
		v := &s.Visits[i]
		body.Visits = append(body.Visits, visitBody{
			Visit: v.Visit, Zone: v.Zone, Level: v.Level, EnteredAt: timestamp(v.EnteredAt), LeftAt: timestamp(v.LeftAt),
			LengthS: seconds(v.Length), DwellS: seconds(v.Dwell), ClosedBy: v.ClosedBy,
		})
	}
	if !s.Details {
		return body
	}
	body.Looks, body.LooksTotal = make([]lookBody, 0, len(s.Looks)), &s.LooksTotal
	for _, l := range s.Looks {
		body.Looks = append(body.Looks, lookBody{Target: l.Target, Zone: l.Zone, Looks: l.Looks, LookS: seconds(l.Time)})
	}
	body.Interactions, body.InteractionsTotal = make([]interactionBody, 0, len(s.Interactions)), &s.InteractionsTotal
	for _, i := range s.Interactions {
		body.Interactions = append(body.Interactions, interactionBody{Object: i.Object, Kind: i.Kind, Zone: i.Zone, Interactions: i.Times})
	}
	return body
}

// filled is text, or null for none.
func filled(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// seconds of a length that is whole milliseconds, so that three digits show.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// timestamp is a time as the edge writes it: in UTC, with microseconds, as long
// for every time, so that the texts sort as the times do.
func timestamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

func instantOrNull(at *time.Time) *string {
	if at == nil {
		return nil
	}
	return new(timestamp(*at))
}
