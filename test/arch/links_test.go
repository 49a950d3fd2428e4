package arch

import (
	"slices"
	"strings"
	"testing"
)

// doesNotLink says what a program must not contain, directly or through others.
var doesNotLink = map[string][]string{
	// rule 6: intake needs the queue and nothing else.
	"cmd/ingest": {pgx, natsServer, module + "/internal/postgres", module + "/internal/worker"},
	"cmd/worker": {echo, natsServer, module + "/internal/ingest"},
	"cmd/query":  {natsServer, module + "/internal/ingest", module + "/internal/worker"},
	// The one program that may hold everything, since it can be everything.
	"cmd/nexero": {},
}

const (
	pgx        = "github.com/jackc/pgx"
	echo       = "github.com/labstack/echo"
	natsServer = "github.com/nats-io/nats-server"
)

// rule 6
func TestPrograms_LinkOnlyTheirStage(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.path, "cmd/") {
			continue
		}
		banned, known := doesNotLink[p.path]
		if !known {
			t.Errorf("%s is not in doesNotLink: say there what it must not contain", p.path)
			continue
		}
		banned = append(slices.Clone(banned), module+"/internal/testkit")
		for path := range linked(t, p.path) {
			for _, b := range banned {
				if within(path, b) {
					t.Errorf("%s links %s", p.path, path)
				}
			}
		}
	}
}
