package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/unreal"
)

func newRejectedReplay(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "replay [BATCH[/POSITION]]",
		Short: "Judge rejected events again and store those that are fit to be stored now",
		Long: `Judge rejected events again, by the rules of this version and the settings of the edge,
and store those that are fit to be stored now: one event, all of a batch, or all
that --tenant, --session, --code and --since select together. --all takes all.

It is the same operation as a repeat by the client, so nothing is ever stored
twice, whatever clients repeat meanwhile. What is still bad stays, with its new
reason. A selection that selects nothing is no error; a BATCH that is not there is.
Bodies that nobody could read are left alone: their clients were told,
and only the beginning was kept.

Events that are too old to be checked may be stored already. They are left alone
unless --code too_old_to_check asks for them: do that only if you know that they
were never loaded.

--damaged loads the queue messages that were not loaded whole instead, such as
after an upgrade to a version that can read them. One that is too old to be
checked against the ledger is refused; with --set-aside-too-old its old batches
become rejected events, and whether to store those is decided as above.`,
		Args: cobra.MaximumNArgs(1),
	}
	var chosen selection
	f := command.Flags()
	chosen.register(f)
	all := f.Bool("all", false, "all rejected events of all tenants")
	dryRun := f.Bool("dry-run", false, "say what would come of it and change nothing")
	damaged := f.Bool("damaged", false, "load damaged queue messages instead")
	setAside := f.Bool("set-aside-too-old", false, "with --damaged: make rejected events of batches that are too old to be checked")
	return operateWith(command, env, (*config.Replay).CLI, func(cmd *cobra.Command, o operator, cfg *config.Replay, args []string) error {
		filter, err := chosen.filter(time.Now())
		if err == nil && !*damaged && !*all && len(args) == 0 && chosen == (selection{}) {
			err = errors.New("say which events: BATCH, BATCH/POSITION, --tenant, --session, --code, --since or --all")
		}
		if err == nil && *setAside && !*damaged {
			err = errors.New("--set-aside-too-old is about damaged messages: it needs --damaged")
		}
		var name named
		if err == nil && len(args) > 0 {
			name, err = parseNamed(args[0])
		}
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		filter.Batch = name.batch
		return o.withStore(cmd.Context(), func(store *postgres.Store) error {
			if *damaged {
				return loadDamaged(cmd.Context(), store, cmd.OutOrStdout(), *dryRun, *setAside)
			}
			r := replayer{store: store, judge: judgeOf(&cfg.Intake), index: name.index, dryRun: *dryRun, became: map[became]int{}}
			err := r.replay(cmd.Context(), filter)
			if err == nil && len(r.became) == 0 {
				return foundNothing(cmd.OutOrStdout(), args, &chosen)
			}
			// What was done before an error is done.
			return errors.Join(err, r.print(cmd.OutOrStdout()))
		})
	})
}

// foundNothing says that a replay had nothing to do. To a script that replays
// what a selection selects that is as good as done, perhaps by its last run. A
// name stands for something that somebody saw, and a wrong one must not look like
// success.
func foundNothing(w io.Writer, args []string, chosen *selection) error {
	if len(args) > 0 {
		return fmt.Errorf("nothing of %s is rejected%s: it was stored or dropped, or never was", args[0], chosen.words(" with"))
	}
	_, err := fmt.Fprintf(w, "nothing is rejected%s: nothing was done\n", chosen.words(" with"))
	return err
}

// judgeOf decodes as an edge with these settings does.
func judgeOf(intake *config.Intake) postgres.Judge {
	limits := event.DefaultLimits()
	limits.EventBytes, limits.StringBytes, limits.Depth = int(intake.EventBytes), int(intake.StringBytes), intake.Depth
	decoder := unreal.NewDecoder(limits, func(tenant string) bool { return slices.Contains(intake.StrictTenants, tenant) })
	return func(sent postgres.SentEvent, b *event.Batch) error {
		return decoder.Again(unreal.Rejected{
			Tenant: sent.Tenant, Session: sent.Session, Raw: sent.Raw, Index: sent.Index,
			ReceivedAt: sent.ReceivedAt, Now: sent.Now, AheadMS: sent.AheadMS, DeadMS: sent.DeadMS,
		}, b)
	}
}

// became is a change of reason; "" is stored.
type became struct{ was, now event.Code }

// replayer replays batch after batch.
type replayer struct {
	store  *postgres.Store
	judge  postgres.Judge
	index  *int
	dryRun bool

	batches int
	became  map[became]int
	// named is what became of each event, as long as there are few.
	named []string
}

// mostNamed is how many events are named one by one in the output.
const mostNamed = 20

// replay replays what f selects, a batch at a time: each is a transaction. A
// replay leaves what it does not store where it is in the order of the listing,
// so the listing goes on undisturbed.
func (r *replayer) replay(ctx context.Context, f postgres.RejectionFilter) error {
	done := make(map[int64]bool)
	return eachRejection(ctx, r.store, f, func(rejection *postgres.Rejection) error {
		if done[rejection.BatchNo] || r.index != nil && *r.index != rejection.Index {
			return nil
		}
		// The session is that of the event, the rest is the batch's or asked for.
		index := r.index
		if f.Session != "" {
			index = &rejection.Index
		} else {
			done[rejection.BatchNo] = true
		}
		outcomes, err := r.store.Replay(ctx, postgres.ReplayRequest{
			Batch: rejection.BatchID, Code: event.Code(f.Code), Index: index, ReceiptID: event.UUID(uuid.New()), DryRun: r.dryRun,
		}, r.judge)
		if errors.Is(err, postgres.ErrNotInLedger) {
			outcomes = []postgres.ReplayOutcome{{
				Index: rejection.Index, Was: rejection.Code, Now: rejection.Code, Detail: "the ledger has forgotten its batch: it may be stored already",
			}}
		} else if err != nil {
			return err
		}
		r.tell(rejection, outcomes)
		return nil
	})
}

func (r *replayer) tell(of *postgres.Rejection, outcomes []postgres.ReplayOutcome) {
	r.batches++
	for i := range outcomes {
		o := &outcomes[i]
		r.became[became{o.Was, o.Now}]++
		if len(r.named) < mostNamed {
			one := *of
			one.Index = o.Index
			r.named = append(r.named, fmt.Sprintf("%s\t%s\t%s\t%s", rejectionName(&one), o.Was, cmp.Or(string(o.Now), "stored"), shown(o.Detail)))
		}
	}
}

func (r *replayer) print(w io.Writer) error {
	total := 0
	for _, n := range r.became {
		total += n
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter reports its errors when it is flushed.
	if total > 0 && total <= mostNamed {
		_, _ = fmt.Fprintln(table, "EVENT\tWAS\tIS\tDETAIL")
		for _, line := range r.named {
			_, _ = fmt.Fprintln(table, line)
		}
	} else if total > 0 {
		_, _ = fmt.Fprintln(table, "EVENTS\tWERE\tARE")
		order := func(a, b became) int { return cmp.Or(cmp.Compare(a.was, b.was), cmp.Compare(a.now, b.now)) }
		for _, change := range slices.SortedFunc(maps.Keys(r.became), order) {
			_, _ = fmt.Fprintf(table, "%d\t%s\t%s\n", r.became[change], change.was, cmp.Or(string(change.now), "stored"))
		}
	}
	stored := 0
	for change, n := range r.became {
		if change.now == "" {
			stored += n
		}
	}
	said := "%d of %d events of %d batches stored\n"
	if r.dryRun {
		said = "dry run, nothing was changed: %d of %d events of %d batches would be stored\n"
	}
	_, _ = fmt.Fprintf(table, said, stored, total, r.batches)
	return table.Flush()
}

// loadDamaged loads every damaged message. One that cannot be loaded does not
// keep the others from it.
func loadDamaged(ctx context.Context, store *postgres.Store, w io.Writer, dryRun, setAside bool) error {
	messages, err := store.DamagedMessages(ctx)
	if err == nil && len(messages) == 0 {
		_, err = fmt.Fprintln(w, "no message is damaged: nothing was done")
		return err
	}
	if err != nil || dryRun {
		return errors.Join(err, printDamaged(w, messages))
	}
	var faults []error
	for _, m := range messages {
		result, err := store.LoadDamaged(ctx, m.Digest, setAside)
		if errors.Is(err, postgres.ErrNoMessage) {
			continue // somebody else was faster
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("message %x: %w", m.Digest[:8], err))
			continue
		}
		if _, err := fmt.Fprintf(w, "message %x: %d events of %d batches stored, %d batches were there already, %d set aside\n",
			m.Digest[:8], result.Rows, result.Batches-result.Quarantined, result.Repeats+result.Redelivered, result.Quarantined); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}
