// Command ingest is the HTTP edge: it authenticates and validates what headsets
// post, publishes it to the queue and answers once it is durable.
package main

import (
	"os"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/ingestd"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Ingest]{
		Name:   "ingest",
		Common: func(cfg *config.Ingest) (config.Process, config.Log) { return cfg.Process, cfg.Log },
		Build:  ingestd.Service,
	}, os.Args[1:], config.Environ(), os.Stdout, os.Stderr))
}
