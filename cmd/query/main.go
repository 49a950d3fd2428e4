// Command query is the read API: sessions and rejected events over HTTP, to
// whoever has a key that may read.
package main

import (
	"os"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/queryd"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Query]{
		Name:   "query",
		Common: func(cfg *config.Query) (config.Process, config.Log) { return cfg.Process, cfg.Log },
		Build:  queryd.Service,
	}, os.Args[1:], config.Environ(), os.Stdout, os.Stderr))
}
