package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func newRejected(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "rejected",
		Short: "List, show and replay events that were not stored",
		Long: `List, show and replay events that were not stored. Each is named by its batch and its
position in it, BATCH/POSITION; -1 is what the body says as a whole.`,
	}
	command.AddCommand(newRejectedList(env), newRejectedShow(env), newRejectedReplay(env))
	return command
}

// selection are the flags that say which rejected events are meant.
type selection struct{ tenant, session, code, since string }

func (s *selection) register(f *pflag.FlagSet) {
	f.StringVar(&s.tenant, "tenant", "", "of this tenant only")
	f.StringVar(&s.session, "session", "", "of this session only; needs --tenant")
	f.StringVar(&s.code, "code", "", "rejected for this reason only, such as timestamp_in_future")
	f.StringVar(&s.since, "since", "", "written since then only: a time like 2006-01-02T15:04:05Z, or how long ago, like 36h")
}

// words returns the selection as it was given, behind lead, or "" for none.
func (s *selection) words(lead string) string {
	var text strings.Builder
	for _, flag := range []struct{ name, value string }{
		{"tenant", s.tenant}, {"session", s.session}, {"code", s.code}, {"since", s.since},
	} {
		if flag.value != "" {
			fmt.Fprintf(&text, " --%s %s", flag.name, shown(flag.value))
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return lead + text.String()
}

// filter returns the selection in the database's words.
func (s *selection) filter(now time.Time) (postgres.RejectionFilter, error) {
	f := postgres.RejectionFilter{Tenant: s.tenant, EveryTenant: s.tenant == "", Session: s.session, Limit: postgres.MaxRejections}
	if s.session != "" && s.tenant == "" {
		return f, errors.New("--session needs --tenant: two tenants can each have one of that name")
	}
	if f.Code = s.code; f.Code != "" && !event.Code(f.Code).Valid() {
		return f, fmt.Errorf("there is no reason %q", s.code)
	}
	if s.since == "" {
		return f, nil
	}
	var err error
	if ago, agoErr := time.ParseDuration(s.since); agoErr == nil {
		f.From = now.Add(-ago)
	} else if f.From, err = time.Parse(time.RFC3339, s.since); err != nil {
		return f, fmt.Errorf("--since %q is neither a time like 2006-01-02T15:04:05Z nor a length like 36h", s.since)
	}
	return f, nil
}

// named is a batch, or one event of it when index is set.
type named struct {
	batch event.UUID
	index *int
}

// parseNamed reads BATCH or BATCH/POSITION.
func parseNamed(text string) (n named, err error) {
	batch, position, single := strings.Cut(text, "/")
	id, err := uuid.Parse(batch)
	if err != nil || id == uuid.Nil {
		return n, fmt.Errorf("%q names no batch; want BATCH or BATCH/POSITION as in the list", text)
	}
	n.batch = event.UUID(id)
	if single {
		index, err := strconv.Atoi(position)
		if err != nil || index < -1 || index >= event.MaxEvents {
			return n, fmt.Errorf("%q is no position in a batch", position)
		}
		n.index = &index
	}
	return n, nil
}

// eachRejection calls do for every rejection that f selects, latest first.
func eachRejection(ctx context.Context, store *postgres.Store, f postgres.RejectionFilter, do func(*postgres.Rejection) error) error {
	for {
		page, next, err := store.Rejections(ctx, f)
		if err != nil {
			return err
		}
		for i := range page {
			if err := do(&page[i]); err != nil {
				return err
			}
		}
		if next.IsZero() {
			return nil
		}
		f.After = next
	}
}

func newRejectedList(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "list",
		Short: "List rejected events, latest first",
		Args:  cobra.NoArgs,
	}
	var chosen selection
	chosen.register(command.Flags())
	limit := command.Flags().Int("limit", 50, "most events to list")
	after := command.Flags().String("after", "", "continue behind this place, which a list that ended early prints")
	damaged := command.Flags().Bool("damaged", false, "list the queue messages that were not loaded whole instead")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		filter, err := chosen.filter(time.Now())
		if err == nil {
			filter.After, err = parseCursor(*after)
		}
		if err == nil && *limit < 1 {
			err = fmt.Errorf("--limit %d lists nothing", *limit)
		}
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return o.withStore(cmd.Context(), func(store *postgres.Store) error {
			if *damaged {
				messages, err := store.DamagedMessages(cmd.Context())
				return errors.Join(err, printDamaged(cmd.OutOrStdout(), messages))
			}
			next, err := listRejected(cmd.Context(), store, cmd.OutOrStdout(), filter, *limit)
			if err == nil && !next.IsZero() {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --after %s\n", cursorText(next))
			}
			return err
		})
	})
}

// listRejected prints at most limit rejections and returns where the rest begin.
func listRejected(ctx context.Context, store *postgres.Store, w io.Writer, f postgres.RejectionFilter, limit int) (next postgres.RejectionCursor, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter reports its errors when it is flushed.
	_, _ = fmt.Fprintln(table, "WRITTEN\tTENANT\tEVENT\tREASON\tFIELD\tSESSION\tDETAIL")
	for {
		f.Limit = min(limit, postgres.MaxRejections)
		var page []postgres.Rejection
		page, next, err = store.Rejections(ctx, f)
		if err != nil {
			return next, err
		}
		for i := range page {
			r := &page[i]
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.WrittenAt.Format(time.DateTime), r.Tenant, rejectionName(r), r.Code,
				orDash(shown(r.Field)), orDash(shown(r.Session)), shown(r.Detail))
		}
		if limit -= len(page); limit <= 0 || next.IsZero() {
			return next, table.Flush()
		}
		f.After = next
	}
}

// rejectionName names an event as show and replay take it.
func rejectionName(r *postgres.Rejection) string {
	if r.BatchID == (event.UUID{}) {
		return fmt.Sprintf("no. %d/%d", r.BatchNo, r.Index) // the ledger has forgotten it
	}
	return fmt.Sprintf("%s/%d", r.BatchID, r.Index)
}

// shown keeps what a client wrote from moving the terminal's cursor, and any key
// in it from being seen.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, event.Scrub(text))
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func cursorText(c postgres.RejectionCursor) string {
	return fmt.Sprintf("%d.%d.%d", c.WrittenAt, c.BatchNo, c.Index)
}

func parseCursor(text string) (c postgres.RejectionCursor, err error) {
	if text == "" {
		return c, nil
	}
	if _, err := fmt.Sscanf(text, "%d.%d.%d", &c.WrittenAt, &c.BatchNo, &c.Index); err != nil || cursorText(c) != text {
		return c, fmt.Errorf("--after %q is no place in a list", text)
	}
	return c, nil
}

func printDamaged(w io.Writer, messages []postgres.DamagedMessage) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WRITTEN\tMESSAGE\tSIZE\tREASON")
	for _, m := range messages {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n",
			m.WrittenAt.UTC().Format(time.DateTime), hex.EncodeToString(m.Digest[:8]), humanize.IBytes(uint64(m.Bytes)), shown(m.Reason))
	}
	return table.Flush()
}

func newRejectedShow(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "show BATCH[/POSITION]",
		Short: "Show one rejected event, or all of a batch, with reason and bytes",
		Long: `Show one rejected event, or all of a batch: why it was rejected, and what the client
sent, keys masked. A row that PostgreSQL refused is shown as the event it holds.`,
		Args: cobra.ExactArgs(1),
	}
	return operate(command, env, func(cmd *cobra.Command, o operator, args []string) error {
		name, err := parseNamed(args[0])
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return o.withStore(cmd.Context(), func(store *postgres.Store) error {
			found := 0
			filter := postgres.RejectionFilter{EveryTenant: true, Batch: name.batch, Limit: postgres.MaxRejections}
			err := eachRejection(cmd.Context(), store, filter, func(r *postgres.Rejection) error {
				if name.index != nil && r.Index != *name.index {
					return nil
				}
				found++
				return showRejection(cmd.OutOrStdout(), r)
			})
			if err == nil && found == 0 {
				err = fmt.Errorf("nothing of %s is rejected", args[0])
			}
			return err
		})
	})
}

func showRejection(w io.Writer, r *postgres.Rejection) error {
	text, isJSON := r.Text()
	if !isJSON {
		text = shown(text)
	}
	_, err := fmt.Fprintf(w, `event        %s
tenant       %s
session      %s
reason       %s
field        %s
detail       %s
received     %s
written      %s
correlation  %s
holds        %s, %d bytes
%s

`,
		rejectionName(r), r.Tenant, orDash(shown(r.Session)), r.Code, orDash(shown(r.Field)), orDash(shown(r.Detail)),
		r.ReceivedAt.Format(time.RFC3339Nano), r.WrittenAt.Format(time.RFC3339Nano), orDash(shown(r.CorrelationID)), r.Form, len(r.Payload), text)
	return err
}
