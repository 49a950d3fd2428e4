// Command worker loads what the queue holds into PostgreSQL, exactly once. Any
// number of workers may run.
package main

import (
	"os"
	_ "time/tzdata" // the days of properties are the same on every machine

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/workerd"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Worker]{
		Name:   "worker",
		Common: func(cfg *config.Worker) (config.Process, config.Log) { return cfg.Process, cfg.Log },
		Build:  workerd.Service,
	}, os.Args[1:], config.Environ(), os.Stdout, os.Stderr))
}
