package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/schollz/progressbar/v3"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/replay"
	"github.com/nexero-vr/nexero/internal/sim"
)

// demoTours are some fifty tours, a hundred thousand events. Headsets that are
// worn at the same time post at the same time, and an hour and a half is long
// enough for people to come back.
func demoTours() sim.Options {
	return sim.Options{Headsets: 4, Duration: 90 * time.Minute, Rate: 5, Habits: sim.Usual()}
}

const (
	// demoGiveUp is how long one post is repeated, settlePatience how long the
	// aggregates may take to hold everything.
	demoGiveUp     = time.Minute
	settlePatience = 2 * time.Minute
)

// demo plays invented tours through a running pipeline and shows what the
// database makes of them.
type demo struct {
	*printer

	cfg  *config.Up
	run  local.RunFile
	log  *slog.Logger
	bars io.Writer
	look look
}

// play does all of it, with tours that end now and other people at every start.
// It returns soon after ctx ends; what was posted until then is loaded now or at
// the next start.
func (d *demo) play(ctx context.Context, options sim.Options) error {
	store, err := postgres.Open(ctx, postgres.Config{URL: d.run.DatabaseURL, MaxConns: 1}, d.log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer store.Close()
	tenant, err := d.tenant(ctx, store)
	if err != nil {
		return err
	}
	if err := describe(ctx, store, tenant); err != nil {
		return err
	}
	now := time.Now()
	options.Seed, options.Start = uint64(now.Unix()), now.Add(-options.Duration).UTC().Truncate(time.Second)
	tours, err := d.post(ctx, options)
	if err != nil {
		return err
	}
	settled, err := d.settle(ctx, store)
	if err != nil {
		return err
	}
	if settled {
		if err := d.check(ctx, store, tenant, tours); err != nil {
			return err
		}
	}
	overview, err := store.Overview(ctx, tenant, options.Start)
	if err != nil {
		return err
	}
	d.show(&overview)
	return d.err
}

// tenant is whose key is used. It may have been given, and made for anyone.
func (d *demo) tenant(ctx context.Context, store *postgres.Store) (string, error) {
	id, err := apikey.Parse(d.run.APIKey)
	if err != nil {
		return "", fmt.Errorf("the pipeline's own key: %w", err)
	}
	keys, err := store.ListKeys(ctx)
	if err != nil {
		return "", err
	}
	for i := range keys {
		if keys[i].ID == id {
			return keys[i].Tenant, nil
		}
	}
	return "", fmt.Errorf("the database does not know the key %s", id)
}

// describe says what an operator would say of the properties that are toured:
// when their days begin, and where their floor plans do. What is already said of
// one stays.
func describe(ctx context.Context, store *postgres.Store, tenant string) error {
	said, err := store.Properties(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range said {
		if said[i].Tenant == tenant {
			known[said[i].ID] = true
		}
	}
	for _, plan := range sim.Plans() {
		if known[plan.PropertyID] {
			continue
		}
		if _, err := store.SetProperty(ctx, tenant, postgres.Property{
			ID: plan.PropertyID, Name: plan.Name, TimeZone: plan.TimeZone,
			OriginX: float32(plan.OriginX), OriginY: float32(plan.OriginY),
		}); err != nil {
			return err
		}
	}
	return nil
}

// post plays the tours as headsets would, but as fast as answers come.
func (d *demo) post(ctx context.Context, options sim.Options) (*player, error) {
	run, err := sim.New(options)
	if err != nil {
		return nil, err
	}
	d.line("\nPlaying invented tours (seed %d) through %s\n\n", options.Seed, d.run.URL)
	client := &replay.Client{
		BaseURL: d.run.URL, Key: d.run.APIKey, GiveUp: demoGiveUp,
		HTTP: &http.Client{Timeout: attemptTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: options.Headsets}},
	}
	defer client.HTTP.CloseIdleConnections()
	tours := &player{client: client, pace: replay.StartPace(0), summary: replay.EmptySummary(), bar: d.tourBar(options)}
	if err := tours.play(ctx, run, options.Headsets, options.Headsets); err != nil {
		return nil, err
	}
	truth, s := tours.ledger.Truth(), tours.summary
	d.line("  played   %s tours, %s events in %s posts: %s\n", count(truth.Tours), count(truth.Accepted), count(s.Answered), length(s.Elapsed))
	d.line("  answers  half of them within %s, 99 of 100 within %s\n",
		s.Latency(0.5).Round(100*time.Microsecond), s.Latency(0.99).Round(time.Millisecond))
	d.line("  as real  %s posts came twice, %s events were no good, %s headsets crashed\n",
		count(truth.Repeats), count(truth.RejectedEvents()), count(truth.Crashed))
	return tours, nil
}

// tourBar is narrow enough for any terminal, so that it redraws in its line.
func (d *demo) tourBar(options sim.Options) *runBar {
	bar := newRunBar(io.Discard, "", options.Duration, options.Headsets)
	if obs.IsTerminal(d.bars) {
		bar.duration, bar.reached = options.Duration.Milliseconds(), make([]int64, options.Headsets)
		bar.bar = progressbar.NewOptions(int(options.Duration/time.Second)*options.Headsets,
			progressbar.OptionSetWriter(d.bars), progressbar.OptionSetDescription("  playing "),
			progressbar.OptionSetWidth(40), progressbar.OptionClearOnFinish())
	}
	return bar
}

// settle waits until everything that was acknowledged is in the aggregates, and
// reports whether that was so in time.
func (d *demo) settle(ctx context.Context, store *postgres.Store) (settled bool, err error) {
	conn, err := queue.Connect(ctx, queue.Config{
		URL: d.run.NATSURL, CredsFile: d.cfg.Queue.CredsFile, RequestTimeout: d.cfg.Queue.RequestTimeout,
	}, d.log, nil, queue.Operator)
	if err != nil {
		return false, err
	}
	d.status("  adding up")
	begun := time.Now()
	slow := awaitSettled(ctx, conn, store, settlePatience)
	took := length(time.Since(begun))
	d.status("")
	switch err := errors.Join(ctx.Err(), conn.Close(context.WithoutCancel(ctx))); {
	case err != nil:
		return false, err
	case slow != nil:
		d.line("  %s     not all of it: %v\n", d.look.alarm("slow"), slow)
		return false, nil
	default:
		d.line("  loaded   and added up %s later\n", took)
		return true, nil
	}
}

// status writes over the last line of a terminal, and does nothing elsewhere.
func (d *demo) status(text string) {
	if obs.IsTerminal(d.bars) {
		// A line that cannot be drawn is no reason to stop.
		_, _ = fmt.Fprintf(d.bars, "\r%s\x1b[K", text)
	}
}
