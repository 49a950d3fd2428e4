package event

import (
	"reflect"
	"testing"
	"time"
)

func TestMicros(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 12, 2, 14, 30, 3, 123_456_789, time.FixedZone("", 3600))
	m := MicrosOf(at)
	if m != 1_764_682_203_123_456 {
		t.Error(m)
	}
	if got := m.Time(); !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Error(got)
	}
	before := time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	if MicrosOf(before) != -1 || !Micros(-1).Time().Equal(before) {
		t.Error("before 1970")
	}
}

// Nothing of a batch may show in the next one that uses its memory.
func TestBatch_Reset(t *testing.T) {
	t.Parallel()
	b := &Batch{
		Tenant: "acme", ID: UUID{1}, Digest: [16]byte{1}, ReceiptID: UUID{1}, ReceivedAt: 1, CorrelationID: "c",
		Sessions: []Session{{ClientID: "s"}}, Events: []Event{{Zone: "z"}, {Zone: "y"}}, Rejected: []Rejection{{Raw: "r"}}, Report: &Report{},
	}
	events := b.Events
	b.Reset()
	if len(b.Sessions)+len(b.Events)+len(b.Rejected) != 0 || cap(b.Events) != 2 || cap(b.Sessions) != 1 || cap(b.Rejected) != 1 {
		t.Errorf("%+v", b)
	}
	if events[0] != (Event{}) || events[1] != (Event{}) {
		t.Error("a body is held by an event that is gone")
	}
	b.Sessions, b.Events, b.Rejected = nil, nil, nil
	if !reflect.DeepEqual(b, &Batch{}) {
		t.Errorf("%+v", b)
	}
}

func TestBatch_Counts(t *testing.T) {
	t.Parallel()
	received := MicrosOf(time.Date(2025, 12, 2, 0, 0, 0, 0, time.UTC))
	day := Micros(LateAfter / time.Microsecond)
	b := &Batch{ReceivedAt: received, Events: []Event{
		{OccurredAt: received},
		{OccurredAt: received + 60e6},
		{OccurredAt: received - day},
		{OccurredAt: received - day - 1},
		{OccurredAt: received - 300*day, ClockShiftMS: 5},
		{OccurredAt: received, ClockShiftMS: -5},
	}}
	if late, corrected := b.Late(), b.Corrected(); late != 2 || corrected != 2 {
		t.Errorf("%d late, %d corrected", late, corrected)
	}
	// A difference of centuries is more than a Duration can hold.
	for year := 1; year < 2025; year += 10 {
		b.Events = []Event{{OccurredAt: MicrosOf(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))}}
		if b.Late() != 1 {
			t.Errorf("an event of year %d is not late", year)
		}
	}
}
