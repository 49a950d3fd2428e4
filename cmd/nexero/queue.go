package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/queue"
)

func newQueue(env []string) *cobra.Command {
	command := &cobra.Command{Use: "queue", Short: "Look at the queue"}
	status := &cobra.Command{
		Use:   "status",
		Short: "Say how much is queued and who works on it",
		Long: `Say how much is queued and who works on it:

  messages  in the queue, of how much it may hold; ingest answers 503 when it is full
  oldest    when the oldest of them was stored: how far workers are behind
  consumer  what waits for a worker, what workers have and have not yet stored, and
            how many requests for more they have open; none: no worker runs
  sequence  numbers of the first and the last message
  lost      what the NATS server says that it lost on its disk; anything but 0 is an alarm
  replicas  servers that hold each message, and which one leads`,
		Args: cobra.NoArgs,
	}
	peek := &cobra.Command{
		Use:   "peek",
		Short: "Print the oldest queued messages without taking them",
		Long: `Print the oldest queued messages as JSON, one batch a line, without taking them
out of the queue.`,
		Args: cobra.NoArgs,
	}
	messages := peek.Flags().Int("messages", 1, "how many messages to print")
	events := peek.Flags().Bool("events", false, "print the events of each batch as well")
	command.AddCommand(
		operate(status, env, func(cmd *cobra.Command, o operator, _ []string) error {
			return o.withQueue(cmd.Context(), func(conn *queue.Conn) error {
				now, err := conn.Status(cmd.Context())
				if err != nil {
					return err
				}
				return printQueue(cmd.OutOrStdout(), now)
			})
		}),
		operate(peek, env, func(cmd *cobra.Command, o operator, _ []string) error {
			out := json.NewEncoder(cmd.OutOrStdout())
			return o.withQueue(cmd.Context(), func(conn *queue.Conn) error {
				return conn.Peek(cmd.Context(), *messages, func(sequence uint64, storedAt time.Time, data []byte) error {
					return printMessage(out, sequence, storedAt, data, *events)
				})
			})
		}),
	)
	return command
}

// withQueue connects, does something and lets go.
func (o operator) withQueue(ctx context.Context, do func(*queue.Conn) error) error {
	conn, err := o.connectQueue(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}

func printQueue(w io.Writer, s queue.Status) error {
	oldest := "none"
	if !s.Oldest.IsZero() {
		oldest = fmt.Sprintf("%s (%s)", s.Oldest.Format(time.RFC3339), humanize.Time(s.Oldest))
	}
	consumer := fmt.Sprintf("%d waiting, %d with workers (%d more than once), %d pulls open",
		s.Pending, s.AckPending, s.Redelivered, s.WaitingPulls)
	if s.ConsumerMissing {
		consumer = "missing; the next worker makes it"
	}
	sequence := fmt.Sprintf("%d to %d", s.FirstSequence, s.LastSequence)
	if s.Messages == 0 {
		sequence = fmt.Sprintf("none queued, the last was %d", s.LastSequence)
	}
	_, err := fmt.Fprintf(w, `messages  %d, %s of %s
oldest    %s
consumer  %s
sequence  %s
lost      %d messages, %s
replicas  %d %s
`,
		s.Messages, humanize.IBytes(s.Bytes), humanize.IBytes(uint64(max(s.MaxBytes, 0))),
		oldest, consumer, sequence,
		s.LostMessages, humanize.IBytes(s.LostBytes), s.Replicas, s.Leader)
	return err
}

// peekedBatch is one line of `queue peek`.
type peekedBatch struct {
	Sequence      uint64         `json:"sequence"`
	StoredAt      time.Time      `json:"stored_at"`
	Problem       string         `json:"problem,omitempty"`
	Bytes         int            `json:"bytes,omitempty"`
	Tenant        string         `json:"tenant,omitempty"`
	BatchID       string         `json:"batch_id,omitempty"`
	ReceiptID     string         `json:"receipt_id,omitempty"`
	ReceivedAt    *time.Time     `json:"received_at,omitempty"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	TraceParent   string         `json:"traceparent,omitempty"`
	Accepted      int            `json:"accepted"`
	Rejected      int            `json:"rejected"`
	Sessions      []string       `json:"sessions,omitempty"`
	Report        *peekedReport  `json:"report,omitempty"`
	Events        []peekedEvent  `json:"events,omitempty"`
	Rejections    []peekedReason `json:"rejections,omitempty"`
}

type peekedReport struct {
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	EndedAt    *time.Time      `json:"ended_at,omitempty"`
	CustomerID string          `json:"customer_id,omitempty"`
	PropertyID string          `json:"property_id,omitempty"`
	Device     string          `json:"device,omitempty"`
	Props      json.RawMessage `json:"props,omitempty"`
}

// peekedEvent leaves out the pose: whoever peeks wants to know what happened.
type peekedEvent struct {
	Index        int             `json:"index"`
	Type         string          `json:"type"`
	Name         string          `json:"name,omitempty"`
	OccurredAt   time.Time       `json:"occurred_at"`
	ClockShiftMS int64           `json:"clock_shift_ms,omitempty"`
	DurationMS   int32           `json:"duration_ms,omitempty"`
	Zone         string          `json:"zone,omitempty"`
	Object       string          `json:"object,omitempty"`
	Target       string          `json:"target,omitempty"`
	Action       string          `json:"action,omitempty"`
	Props        json.RawMessage `json:"props,omitempty"`
}

type peekedReason struct {
	Index  int        `json:"index"`
	Code   event.Code `json:"code"`
	Field  string     `json:"field,omitempty"`
	Detail string     `json:"detail,omitempty"`
}

func printMessage(out *json.Encoder, sequence uint64, storedAt time.Time, data []byte, events bool) error {
	batches, err := envelope.Open(data)
	if err != nil {
		return out.Encode(peekedBatch{Sequence: sequence, StoredAt: storedAt, Bytes: len(data), Problem: err.Error()})
	}
	for i := range batches {
		line := peeked(&batches[i])
		line.Sequence, line.StoredAt = sequence, storedAt
		if events {
			for row := range batches[i].Rows() {
				e, err := row.Event()
				if err != nil {
					return fmt.Errorf("message %d: %w", sequence, err)
				}
				line.Events = append(line.Events, peekedEvent{
					Index: e.Index, Type: e.Type.String(), Name: e.Name, OccurredAt: e.OccurredAt.Time(),
					ClockShiftMS: e.ClockShiftMS, DurationMS: e.DurationMS,
					Zone: e.Zone, Object: e.Object, Target: e.Target, Action: e.Action, Props: rawJSON(e.Props),
				})
			}
		}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func peeked(b *envelope.Batch) peekedBatch {
	line := peekedBatch{
		Tenant: b.Tenant, BatchID: b.ID.String(), ReceiptID: b.ReceiptID.String(),
		ReceivedAt: new(b.ReceivedAt.Time()), CorrelationID: b.CorrelationID, TraceParent: b.Trace.String(),
		Accepted: b.RowCount(), Rejected: len(b.Rejected),
	}
	if r := b.Report; r != nil {
		line.Report = &peekedReport{
			StartedAt: timeOf(r.Start), EndedAt: timeOf(r.End),
			CustomerID: r.CustomerID, PropertyID: r.PropertyID, Device: r.Device, Props: rawJSON(r.Props),
		}
	}
	for _, session := range b.Sessions {
		line.Sessions = append(line.Sessions, session.ClientID)
	}
	for _, rejection := range b.Rejected {
		line.Rejections = append(line.Rejections, peekedReason{rejection.Index, rejection.Code, rejection.Field, rejection.Detail})
	}
	return line
}

func timeOf(t *event.Micros) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.Time())
}

// rawJSON passes text on as it is; what is no JSON, which no ingest sends,
// becomes a string, so that the line stays readable.
func rawJSON(text string) json.RawMessage {
	if text == "" || json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, err := json.Marshal(text)
	if err != nil { // a string always encodes
		return nil
	}
	return quoted
}
