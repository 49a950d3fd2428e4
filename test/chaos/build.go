package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// programs are where the built programs lie.
type programs struct{ dir string }

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// module is the path of ours; packages are built by their full names, so that
// the directory that the harness was started in does not matter.
const module = "github.com/nexero-vr/nexero"

// programs builds what a run needs in dir, unless it was given.
func (o *options) programs(ctx context.Context, dir string) (programs, error) {
	if o.built != "" {
		return programs{o.built}, nil
	}
	return buildPrograms(ctx, dir)
}

// buildPrograms builds the services with their crash points, and the NATS server
// of the version that go.mod names. Without the race detector: a kill must be able
// to hit a process at speed. flags are further ones for the services.
func buildPrograms(ctx context.Context, dir string, flags ...string) (programs, error) {
	const patience = 10 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, step := range [][]string{
		slices.Concat([]string{"build", "-tags", "chaos"}, flags, []string{"-o", dir + "/", module + "/cmd/..."}),
		{"build", "-o", filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2"},
	} {
		if output, err := exec.CommandContext(ctx, "go", step...).CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("go %v: %w\n%s", step, err, output)
		}
	}
	return programs{dir}, nil
}
