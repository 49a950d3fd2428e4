package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/replay"
	"github.com/nexero-vr/nexero/internal/sim"
)

// simulateFlags are what `nexero simulate` takes besides the configuration.
type simulateFlags struct {
	url, key      string
	giveUp        time.Duration
	speed         float64
	connections   int
	start         string
	tame          bool
	record, truth string
	post, json    bool
	options       sim.Options
}

func newSimulate(env []string) *cobra.Command {
	var flags simulateFlags
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Invent tours, post them as headsets do, and know the truth of them",
		Long: `Invent people who walk through furnished floor plans, look at things, touch some
and leave, and post what their headsets make of it: batches every 5 s or 50
events, offline spells, repeats, late uploads, clocks that are wrong by hours,
crashes, events that must be rejected.

Everything follows from --seed and --start: the same ones again are repeats of
the same bytes and add nothing. Each answer is compared with what the truth says
it must be; exit code 1 says that some differ.

With --record the posts become a recording for "nexero replay" and nothing is
posted, unless --post says so. --truth writes what a database must hold; after
Ctrl-C, of what was posted until then.`,
		Args: cobra.NoArgs,
	}
	f := command.Flags()
	f.IntVar(&flags.options.Headsets, "headsets", 10, "how many headsets are worn, one visitor after the other")
	f.DurationVar(&flags.options.Duration, "duration", 10*time.Minute, "how long people tour; the last ones leave when it is over")
	f.Uint64Var(&flags.options.Seed, "seed", 1, "who comes, where they go and what goes wrong")
	f.StringVar(&flags.start, "start", "", "when the first ones come, RFC 3339; default: so that the last ones leave now, with a speed of up to 1 now")
	f.Float64Var(&flags.speed, "speed", 0, "simulated time per real time: 1 is live, 0 as fast as answers come")
	f.BoolVar(&flags.tame, "tame", false, "headsets without bad habits: the plainest words, right clocks, everything sent once and at once")
	f.StringVar(&flags.record, "record", "", "write the posts to this recording instead of posting them")
	f.BoolVar(&flags.post, "post", false, "with --record: post them as well")
	f.StringVar(&flags.truth, "truth", "", "write what a database must hold to this file, as JSON")
	f.StringVar(&flags.url, "url", "", "ingest to post to; default: the running pipeline in the data directory")
	f.StringVar(&flags.key, "key", "", "API key; default: the running pipeline's own")
	f.IntVar(&flags.connections, "connections", 16, "headsets that post at once when speed is 0")
	f.DurationVar(&flags.giveUp, "give-up", 2*time.Minute, "how long one request is repeated before the simulation fails")
	f.BoolVar(&flags.json, "json", false, "print the summary as one JSON object")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		return runSimulate(cmd, o, &flags)
	})
}

// errStopped is a Ctrl-C while headsets post, which is how a live run ends: what
// came of it is said all the same.
var errStopped = errors.New("stopped early; what was posted stays")

// simulation is what came of `nexero simulate`.
type simulation struct {
	Options sim.Options `json:"-"`
	// Answers is what an ingest said, nil when nothing was posted.
	Answers *replay.Summary `json:"answers,omitempty"`
	// Surprises counts the answers that the truth does not explain, and
	// FirstSurprise tells of the first.
	Surprises     int        `json:"surprises"`
	FirstSurprise string     `json:"first_surprise,omitempty"`
	Totals        sim.Totals `json:"totals"`
	Recording     string     `json:"recording,omitempty"`
	TruthFile     string     `json:"truth,omitempty"`

	truth sim.Truth
}

func runSimulate(cmd *cobra.Command, o operator, flags *simulateFlags) error {
	if flags.speed < 0 || flags.connections < 1 {
		return &exitError{code: exitUsage, err: errors.New("speed must be at least 0 and connections at least 1")}
	}
	if err := flags.complete(time.Now()); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	run, err := sim.New(flags.options)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	done := simulation{Options: flags.options, Recording: flags.record, TruthFile: flags.truth}
	var stopped error
	if flags.record != "" {
		if err := done.record(cmd, run, flags); err != nil {
			return err
		}
	}
	if flags.record == "" || flags.post {
		if stopped = done.post(cmd, o, run, flags); stopped != nil && !errors.Is(stopped, errStopped) {
			return stopped
		}
	}
	if flags.truth != "" {
		if err := writeTruth(flags.truth, &done.truth); err != nil {
			return err
		}
	}
	done.Totals = done.truth.Totals
	if err := done.print(cmd.OutOrStdout(), flags.json); err != nil {
		return err
	}
	if done.Surprises > 0 {
		return fmt.Errorf("%d answers are not what the truth says, the first: %s", done.Surprises, done.FirstSurprise)
	}
	return stopped
}

// complete fills in what follows from other flags. Nothing may happen in the
// future, so a run that goes faster than time begins in the past.
func (f *simulateFlags) complete(now time.Time) error {
	if !f.tame {
		f.options.Habits = sim.Usual()
	}
	posts := f.record == "" || f.post
	switch {
	case f.start != "":
		start, err := time.Parse(time.RFC3339, f.start)
		if err != nil {
			return fmt.Errorf("start: %q is no time as in %s", f.start, now.UTC().Format(time.RFC3339))
		}
		if latest := now.Add(-f.ahead()); posts && start.After(latest) {
			return fmt.Errorf("start: with it some would tour in the future, and a server moves such times: %s at the latest",
				latest.UTC().Format(time.RFC3339))
		}
		f.options.Start = start
	case f.speed > 0 && f.speed <= 1 && posts:
		f.options.Start = now
	default:
		f.options.Start = now.Add(-f.options.Duration)
	}
	f.options.Start = f.options.Start.UTC().Truncate(time.Second)
	return nil
}

// ahead is how much more time passes in the tours than outside.
func (f *simulateFlags) ahead() time.Duration {
	if f.speed == 0 {
		return f.options.Duration
	}
	return max(0, f.options.Duration-time.Duration(float64(f.options.Duration)/f.speed))
}

// record writes the posts of all headsets to a recording.
func (s *simulation) record(cmd *cobra.Command, run *sim.Run, flags *simulateFlags) error {
	writer, err := recording.Create(flags.record)
	if err != nil {
		return err
	}
	bar := newRunBar(cmd.ErrOrStderr(), "recording", flags.options.Duration, 1)
	var ledger sim.Ledger
	for post := range run.Posts() {
		if err = cmd.Context().Err(); err == nil {
			err = writer.Write(post.Request)
		}
		if err != nil {
			break
		}
		ledger.Add(post)
		bar.reach(0, post.AtMS)
	}
	bar.finish()
	s.truth = ledger.Truth()
	return errors.Join(err, writer.Close())
}

// post plays the headsets against an ingest. The truth is told of what was
// posted even when it ends early.
func (s *simulation) post(cmd *cobra.Command, o operator, run *sim.Run, flags *simulateFlags) error {
	if err := o.target(cmd.Context(), &flags.url, &flags.key); err != nil {
		return err
	}
	client := &replay.Client{
		BaseURL: flags.url, Key: flags.key, GiveUp: flags.giveUp,
		HTTP: &http.Client{
			Timeout:   attemptTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: max(flags.connections, flags.options.Headsets)},
		},
	}
	defer client.HTTP.CloseIdleConnections()
	tours := player{
		client: client, pace: replay.StartPace(flags.speed), summary: replay.EmptySummary(),
		bar: newRunBar(cmd.ErrOrStderr(), "touring", flags.options.Duration, flags.options.Headsets),
	}
	atOnce := flags.options.Headsets
	if flags.speed == 0 {
		atOnce = flags.connections
	}
	err := tours.play(cmd.Context(), run, flags.options.Headsets, atOnce)
	s.Answers, s.Surprises, s.FirstSurprise = tours.summary, tours.surprises, tours.firstSurprise
	s.truth = tours.ledger.Truth()
	if err != nil && cmd.Context().Err() != nil {
		return errStopped
	}
	if err != nil && flags.truth != "" {
		return errors.Join(err, writeTruth(flags.truth, &s.truth))
	}
	return err
}

// target fills in the address and key of the running pipeline where none are
// given.
func (o operator) target(ctx context.Context, url, key *string) error {
	if *url != "" && *key != "" {
		return nil
	}
	run, err := o.running(ctx)
	if err != nil {
		return err
	}
	if run.URL == "" && *url == "" {
		return fmt.Errorf("the pipeline in %s has no ingest; name one with --url", o.cfg.Local.DataDir)
	}
	if *url == "" {
		*url = run.URL
	}
	if *key == "" {
		*key = run.APIKey
	}
	return nil
}

func writeTruth(path string, truth *sim.Truth) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the truth: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	encoder := json.NewEncoder(file)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(truth); err != nil {
		return fmt.Errorf("write the truth: %w", err)
	}
	return nil
}

func (s *simulation) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	return printSimulation(w, s)
}
