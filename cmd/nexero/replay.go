package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/replay"
)

// attemptTimeout is longer than an ingest lets a request take.
const attemptTimeout = 30 * time.Second

// replayFlags are what `nexero replay` takes besides the configuration.
type replayFlags struct {
	url, key string
	giveUp   time.Duration
	json     bool
	options  replay.Options
}

func newReplay(env []string) *cobra.Command {
	var flags replayFlags
	command := &cobra.Command{
		Use:   "replay FILE",
		Short: "Play a recording of headsets against an ingest",
		Long: `Play a recording (gzip'd JSON lines, one request each) as the headsets did:
the requests of a session one after the other, sessions side by side. Answers of
429 and 503 are obeyed, and after a connection error the same bytes are sent
again. Exit code 1 says that it did not get through, or that every request was
refused.`,
		Args: cobra.ExactArgs(1),
	}
	f := command.Flags()
	f.StringVar(&flags.url, "url", "", "ingest to post to; default: the running pipeline in the data directory")
	f.StringVar(&flags.key, "key", "", "API key; default: the running pipeline's own")
	f.Float64Var(&flags.options.Speed, "speed", 1, "pace: 1 is as recorded, 0 as fast as answers come")
	f.IntVar(&flags.options.Copies, "copies", 1, "how many times to play it side by side; copy 1 is the bytes as recorded, others have session ids of their own")
	f.IntVar(&flags.options.Connections, "connections", 16, "sessions under way at once when speed is 0")
	f.DurationVar(&flags.giveUp, "give-up", 2*time.Minute, "how long one request is repeated before the replay fails")
	f.BoolVar(&flags.json, "json", false, "print the summary as one JSON object")
	return operate(command, env, func(cmd *cobra.Command, o operator, args []string) error {
		return runReplay(cmd, o, args[0], flags)
	})
}

func runReplay(cmd *cobra.Command, o operator, file string, flags replayFlags) error {
	if flags.options.Speed < 0 || flags.options.Copies < 1 || flags.options.Connections < 1 {
		return &exitError{code: exitUsage, err: errors.New("copies and connections must be at least 1, speed at least 0")}
	}
	if err := o.target(cmd.Context(), &flags.url, &flags.key); err != nil {
		return err
	}
	flags.options.File = file
	if stderr := cmd.ErrOrStderr(); obs.IsTerminal(stderr) {
		requests, err := recording.Count(file)
		if err != nil {
			return err
		}
		bar := progressbar.NewOptions(requests*flags.options.Copies,
			progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("replaying"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("req"),
			progressbar.OptionClearOnFinish())
		// A bar that cannot be drawn is no reason to stop.
		flags.options.Progress = func(replay.Answer) { _ = bar.Add(1) }
	}
	client := &replay.Client{
		BaseURL: flags.url, Key: flags.key, GiveUp: flags.giveUp,
		HTTP: &http.Client{
			Timeout:   attemptTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: max(flags.options.Connections, flags.options.Copies)},
		},
	}
	defer client.HTTP.CloseIdleConnections()
	summary, err := replay.Run(cmd.Context(), client, flags.options)
	if err != nil {
		return err
	}
	if flags.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(summary)
	} else {
		err = summary.Print(cmd.OutOrStdout())
	}
	if err == nil && summary.Answered > 0 && summary.Refused == summary.Answered {
		err = errors.New("every request was refused")
	}
	return err
}
