package testkit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/recording"
)

// RecordingOptions say what recording to invent.
type RecordingOptions struct {
	// Seed decides everything: equal options give equal bytes.
	Seed uint64
	// Sessions is their number; 0 is 3. A new one begins every 30 s of the
	// recording, so that they overlap.
	Sessions int
	// Length is about how long a session is; 0 is 90 s.
	Length time.Duration
	// Awkward adds what real clients do: requests repeated byte for byte, events
	// without a timestamp, a headset that was offline and uploads late and in the
	// wrong order, and a session id in two spellings.
	Awkward bool
}

const (
	batchPath   = "/api/v1/unreal/tracking/batch"
	sessionPath = "/api/v1/unreal/session"

	sessionGap = 30 * time.Second
	flushEvery = 5 * time.Second
)

// WriteRecording writes an invented recording to path: sessions with a head pose
// ten times a second, looks at named objects with their length, a batch every
// five seconds, and a session post at the end.
func WriteRecording(path string, options RecordingOptions) error {
	if options.Sessions == 0 {
		options.Sessions = 3
	}
	if options.Length == 0 {
		options.Length = 90 * time.Second
	}
	var requests []recording.Request
	for i := range options.Sessions {
		tour, err := newTour(options, i).play()
		if err != nil {
			return fmt.Errorf("write recording %s: %w", path, err)
		}
		requests = append(requests, tour...)
	}
	slices.SortStableFunc(requests, func(a, b recording.Request) int { return cmp.Compare(a.AtMS, b.AtMS) })

	writer, err := recording.Create(path)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err = writer.Write(request); err != nil {
			break
		}
	}
	return errors.Join(err, writer.Close())
}

type vector struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
	Z float64 `json:"z"`
}

type rotation struct {
	Pitch float64 `json:"pitch"`
	Yaw   float64 `json:"yaw"`
	Roll  float64 `json:"roll"`
}

// tourEvent is an event as a client writes it.
type tourEvent struct {
	Type      string    `json:"event_type"`
	Timestamp *float64  `json:"timestamp,omitempty"`
	Position  *vector   `json:"position,omitempty"`
	Rotation  *rotation `json:"rotation,omitempty"`
	Target    string    `json:"gaze_target,omitempty"`
	DwellMS   int64     `json:"dwell_time_ms,omitempty"`
}

type tourBatch struct {
	SessionID string      `json:"session_id"`
	SentAt    float64     `json:"sent_at"`
	Events    []tourEvent `json:"events"`
}

type tourReport struct {
	SessionID string `json:"session_id"`
	Start     string `json:"session_start"`
	End       string `json:"session_end"`
	Customer  string `json:"customer_id"`
	Property  string `json:"property_id"`
}

// tour is one session while it is invented. Times are milliseconds from its
// start.
type tour struct {
	rand     *rand.Rand
	awkward  bool
	offline  bool  // batches are held back until the end
	offsetMS int64 // of its start from that of the recording
	epochMS  int64 // of its start, Unix time
	lengthMS int64
	id       string
	customer string

	head     vector
	look     rotation
	target   string
	lookFrom int64
	out      []recording.Request
}

// targets are looked at; one is not ASCII, as level designers write them.
func targets() []string {
	return []string{
		"window_harbour", "kitchen_island", "oven", "sofa_grey", "fireplace", "stairs", "oak_table",
		"küchenzeile", "balcony_door", "bookshelf", "floor", "ceiling_lamp",
	}
}

func newTour(options RecordingOptions, number int) *tour {
	r := rand.New(rand.NewPCG(options.Seed, uint64(number)))
	const firstDay = 1_738_400_000_000 // a morning in February 2025
	visitors := []string{"VISITOR-07", "VISITOR-19", "VISITOR-23"}
	t := &tour{
		rand:     r,
		awkward:  options.Awkward,
		offline:  options.Awkward && number%3 == 1,
		offsetMS: int64(number) * sessionGap.Milliseconds(),
		lengthMS: options.Length.Milliseconds() * (80 + r.Int64N(41)) / 100,
		id:       fmt.Sprintf("%016X%016X", r.Uint64(), r.Uint64()),
		customer: visitors[number%len(visitors)],
		head:     vector{X: r.Float64() * 600, Y: r.Float64() * 400, Z: 165 + r.Float64()*15},
		look:     rotation{Yaw: r.Float64()*360 - 180},
		target:   targets()[0],
	}
	// People come on different days and the recording plays them side by side.
	t.epochMS = firstDay + int64(number)*3_700_000 + r.Int64N(1000)
	return t
}

// play invents the session's requests in the order in which they are sent.
func (t *tour) play() ([]recording.Request, error) {
	var pending []tourEvent
	flush := flushEvery.Milliseconds()
	for now := int64(0); now < t.lengthMS; now += 95 + t.rand.Int64N(16) {
		for now >= flush {
			if err := t.sendBatch(flush, pending); err != nil {
				return nil, err
			}
			pending = nil
			flush += flushEvery.Milliseconds()
		}
		pending = append(pending, t.step(now)...)
	}
	pending = append(pending, t.endLook(t.lengthMS)...)
	if err := t.sendBatch(t.lengthMS, pending); err != nil {
		return nil, err
	}
	if err := t.report(); err != nil {
		return nil, err
	}
	if t.offline {
		t.uploadLate()
	}
	if t.awkward {
		t.repeatSome()
	}
	return t.out, nil
}

// step moves the head by a tenth of a second and now and then ends a look. A
// visitor sometimes stands as still as a headset on a table.
func (t *tour) step(now int64) []tourEvent {
	if t.rand.IntN(20) != 0 {
		t.head.X += t.rand.NormFloat64() * 6
		t.head.Y += t.rand.NormFloat64() * 6
		t.head.Z += (172-t.head.Z)*0.1 + t.rand.NormFloat64()
		t.look.Yaw = wrapDegrees(t.look.Yaw + t.rand.NormFloat64()*8)
		t.look.Pitch += t.rand.NormFloat64()*3 - t.look.Pitch*0.1
		t.look.Roll += t.rand.NormFloat64() - t.look.Roll*0.2
	}
	pose := tourEvent{
		Type:      "pose",
		Timestamp: t.clock(now),
		Position:  &vector{X: round(t.head.X, 2), Y: round(t.head.Y, 2), Z: round(t.head.Z, 2)},
		Rotation:  &rotation{Pitch: round(t.look.Pitch, 3), Yaw: round(t.look.Yaw, 3), Roll: round(t.look.Roll, 3)},
	}
	events := []tourEvent{pose}
	if t.rand.IntN(12) == 0 {
		events = append(events, t.endLook(now)...)
	}
	if t.awkward && t.rand.IntN(150) == 0 {
		events = append(events, tourEvent{Type: "gaze", Target: t.target, DwellMS: 250})
	}
	return events
}

// endLook reports the look that ends now, stamped with its beginning, and begins
// another. A glance is not reported.
func (t *tour) endLook(now int64) []tourEvent {
	target, from := t.target, t.lookFrom
	t.target, t.lookFrom = targets()[t.rand.IntN(len(targets()))], now
	if now-from < 100 {
		return nil
	}
	return []tourEvent{{Type: "gaze", Timestamp: t.clock(from), Target: target, DwellMS: now - from}}
}

// sendBatch posts what came up since the last one; nothing is posted as nothing.
func (t *tour) sendBatch(now int64, events []tourEvent) error {
	if len(events) == 0 {
		return nil
	}
	return t.send(now, batchPath, tourBatch{SessionID: t.id, SentAt: *t.clock(now), Events: events})
}

// report sends the session post, half a second after the last batch. An awkward
// client spells its id in another way there.
func (t *tour) report() error {
	id := t.id
	if t.awkward {
		id = strings.ToLower(fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:]))
	}
	return t.send(t.lengthMS+500, sessionPath, tourReport{
		SessionID: id,
		Start:     strconv.FormatInt(t.epochMS/1000, 10),
		End:       strconv.FormatInt((t.epochMS+t.lengthMS)/1000, 10),
		Customer:  t.customer,
		Property:  "harbour_loft",
	})
}

// send notes a request for the given moment of the session.
func (t *tour) send(now int64, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	t.out = append(t.out, recording.Request{
		AtMS:    t.offsetMS + now,
		Method:  "POST",
		Path:    path,
		Headers: map[string]string{"Content-Type": "application/json"},
		Body:    string(text),
	})
	return nil
}

// uploadLate sends everything when the session is over, the newest first.
func (t *tour) uploadLate() {
	slices.Reverse(t.out)
	for i := range t.out {
		t.out[i].AtMS = t.offsetMS + t.lengthMS + 10_000 + int64(i)*200
	}
}

// repeatSome sends the first request and some others again, as after a lost
// answer.
func (t *tour) repeatSome() {
	for i, request := range t.out {
		if i == 0 || t.rand.IntN(8) == 0 {
			request.AtMS += 400
			t.out = append(t.out, request)
		}
	}
}

// clock is the client's time in Unix seconds, to the millisecond.
func (t *tour) clock(now int64) *float64 { return new(float64(t.epochMS+now) / 1000) }

func wrapDegrees(angle float64) float64 {
	switch {
	case angle > 180:
		return angle - 360
	case angle <= -180:
		return angle + 360
	default:
		return angle
	}
}

func round(value float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(value*scale) / scale
}
