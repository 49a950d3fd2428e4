package facts

import "github.com/nexero-vr/nexero/internal/event"

// Facts are what the events and reports of one session mean. Slices are sorted
// and nil when empty, so equal facts compare equal.
type Facts struct {
	// Empty is set when nothing was folded, neither event nor report; all else is
	// then zero.
	Empty bool
	// CustomerID, PropertyID and Device are what the latest report said, empty
	// when none did.
	CustomerID, PropertyID, Device string

	// Start and End place the session in the calendar: as declared, else the
	// first and last event, else each other, else the first receipt. A declared
	// end may lie in the future or before the start.
	Start, End event.Micros
	// StartDeclared and EndDeclared say which are declared.
	StartDeclared, EndDeclared bool
	// First and Last are the first and last event; valid when Events is not 0.
	First, Last event.Micros
	// Ended is set when the client said that the session is over.
	Ended bool
	// FirstReceived and LastReceived bound the times of receipt: the days of raw
	// rows, and how long the session has been silent.
	FirstReceived, LastReceived event.Micros

	// DurationMS is End minus Start, between 0 and MaxSpan. ActiveMS and IdleMS
	// are its parts.
	DurationMS, ActiveMS, IdleMS int64

	// Events were folded, OverLimit were only counted: they lie beyond the
	// session's limits.
	Events, OverLimit int64
	// ShiftMS was added to the client's times to place the session.
	ShiftMS int64
	// ClockStepped is set when the client's clock was set by more than a day
	// during the session, so that its times could not be compared.
	ClockStepped bool
	// SeqReceived of SeqExpected sequence numbers arrived; both 0 when the client
	// does not count. Clients that restart their counter receive more than they
	// expect.
	SeqReceived, SeqExpected int64
	// Sealed is set when raw events were gone before the last ones came, which
	// were then added by themselves.
	Sealed bool

	// EntryZone is the zone entered first, ExitZone the one left last; Zones
	// counts the different ones. A session with one zone bounced.
	EntryZone, ExitZone string
	Zones               int

	Visits       []Visit
	Looks        []Look
	Interactions []Interaction
	Cells        []Cell
	Counts       []Count
	Path         []Point
}

// Visit is one stay in one zone. Visits are in the order in which they began.
type Visit struct {
	Zone          string
	Level         int16
	Entered, Left event.Micros
	// DwellMS is the time between them that was not idle.
	DwellMS  int64
	ClosedBy ClosedBy
}

// Look is the looks and fixations of one target from one zone that began in
// one quarter of an hour.
type Look struct {
	Zone, Target string
	// Quarter is when the quarter began.
	Quarter               event.Micros
	Looks, LookMS         int64
	Fixations, FixationMS int64
	// First is set when the session's first look of the target from the zone is
	// among them; FirstLookMS is then the time to it since the zone was first
	// entered, outside all zones since the first event.
	First       bool
	FirstLookMS int64
}

// Interaction is how often one thing was done to one object in one zone in one
// quarter of an hour.
type Interaction struct {
	Zone, Object, Kind string
	Quarter            event.Micros
	Times              int64
}

// Cell is the time spent in one floor cell in one quarter of an hour. X and Y
// count cells of CellCM from the origin of the Unreal world.
type Cell struct {
	Level   int16
	X, Y    int32
	Quarter event.Micros
	MS      int64
}

// Count is the number of events of one type in one quarter of an hour.
type Count struct {
	Type    event.Type
	Quarter event.Micros
	Events  int64
}

// Point is a pose on the path. X and Y are in centimetres, rounded to 10; Yaw is
// in degrees, -180 up to 180, valid when Facing is set.
type Point struct {
	At     event.Micros
	Level  int16
	X, Y   int32
	Yaw    int16
	Facing bool
}
