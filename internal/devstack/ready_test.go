package devstack

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// rule 2: a server that reads back gigabytes is not cut off; one that has read
// them and takes no connections is.
func TestNATSReady_WaitsForRecovery(t *testing.T) {
	t.Parallel()
	never := func(d time.Duration) bool { <-time.After(d); return false }
	quick := func(time.Duration) bool { return true }
	const recovery = time.Hour
	for name, test := range map[string]struct {
		ready   func(time.Duration) bool
		cancel  time.Duration // 0 for never
		fatal   time.Duration // 0 for never
		want    string
		atLeast time.Duration
		atMost  time.Duration
	}{
		"long recovery":         {quick, 0, 0, "", recovery, recovery + time.Second},
		"cancelled meanwhile":   {quick, time.Minute, 0, context.Canceled.Error(), time.Minute, 61 * time.Second},
		"fatal meanwhile":       {quick, 0, 10 * time.Minute, "disk is on fire", 10 * time.Minute, 10*time.Minute + time.Second},
		"no connections":        {never, 0, 0, "not ready 1m0s after", recovery + natsReadyWait, recovery + natsReadyWait + time.Second},
		"cancelled after":       {never, recovery + time.Second, 0, context.Canceled.Error(), recovery, recovery + 2*time.Second},
		"fatal after":           {never, 0, recovery + time.Second, "disk is on fire", recovery, recovery + 2*time.Second},
		"fatal ends the start":  {quick, 0, recovery, "disk is on fire", recovery, recovery + time.Second},
		"cancelled from before": {quick, time.Nanosecond, 0, context.Canceled.Error(), 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				logger := &natsLogger{log: slog.New(slog.DiscardHandler)}
				if test.cancel > 0 {
					defer time.AfterFunc(test.cancel, cancel).Stop()
				}
				if test.fatal > 0 {
					defer time.AfterFunc(test.fatal, func() { logger.Fatalf("disk is on fire") }).Stop()
				}
				// A nanosecond later than a fatal message that ends the start.
				started := make(chan struct{})
				defer time.AfterFunc(recovery+time.Nanosecond, func() { close(started) }).Stop()
				began := time.Now()
				err := natsReady(ctx, started, test.ready, logger)
				if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if took := time.Since(began); took < test.atLeast || took > test.atMost {
					t.Errorf("took %s, want %s to %s", took, test.atLeast, test.atMost)
				}
			})
		})
	}
}

// rule 2: a crash at any moment leaves a password that works or none.
func TestCreatePassword_SurvivesACrash(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left map[string]string // by a crash
		kept string            // the password that must stay, empty for a new one
	}{
		"nothing":              {},
		"empty":                {left: map[string]string{passwordName: ""}},
		"blank":                {left: map[string]string{passwordName: "\n"}},
		"unfinished":           {left: map[string]string{unfinishedPasswordName: "half"}},
		"empty and unfinished": {left: map[string]string{passwordName: "", unfinishedPasswordName: ""}},
		"complete":             {left: map[string]string{passwordName: "known\n"}, kept: "known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := files{dir: t.TempDir()}
			for file, text := range test.left {
				if err := os.WriteFile(filepath.Join(f.dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if major, err := f.major(); major != 0 || err != nil {
				t.Fatalf("version %d, %v, want a directory without a cluster", major, err)
			}
			if err := f.createPassword(); err != nil {
				t.Fatal(err)
			}
			got, err := f.password()
			if err != nil || test.kept != "" && got != test.kept || len(got) < len("known") || got == "half" {
				t.Errorf("password %q, %v, want %q or a new one", got, err, test.kept)
			}
			info, err := os.Stat(filepath.Join(f.dir, passwordName))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("password file %v, %v, want mode 0600", info, err)
			}
			if _, err := os.Stat(filepath.Join(f.dir, unfinishedPasswordName)); test.kept == "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the unfinished file remains: %v", err)
			}
			if err := f.createPassword(); err != nil {
				t.Fatal(err)
			}
			if again, err := f.password(); again != got || err != nil {
				t.Errorf("a second call makes %q of %q, %v", again, got, err)
			}
		})
	}
}

// A file that cannot be read is not one that is missing.
func TestCreatePassword_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	f := files{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(f.dir, passwordName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.createPassword(); err == nil {
		t.Error("a directory passed for a password")
	}
}

// What our own probe makes a server say while it starts is not worth a line.
func TestServerOutput_ProbesAreQuiet(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	output := &serverOutput{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	const quiet = "FATAL:  the database system is starting up\n" +
		"FATAL:  the database system is not yet accepting connections\n" +
		"DETAIL:  Consistent recovery state has not been yet reached.\n" +
		"LOG:  database system is ready to accept connections\n"
	output.read(t.Context(), strings.NewReader(quiet))
	if out.Len() > 0 {
		t.Errorf("logged:\n%s", &out)
	}
	if got := output.last(); got != strings.TrimSpace(quiet) {
		t.Errorf("an error would quote %q, want everything", got)
	}
	output.read(t.Context(), strings.NewReader("WARNING:  disk is warm\nPANIC:  disk is gone\n"))
	for _, want := range []string{`level=WARN msg="postgresql server" text="WARNING:  disk is warm"`, "level=ERROR"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
}
