package e2e

import (
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// TestUpgrade_SchemaFirst starts a worker on a database that was not migrated:
// it ends at once, saying the command that it needs, and runs after that.
//
// rule 3
func TestUpgrade_SchemaFirst(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.EmptyDatabase(t)
	settings := []string{"NEXERO_NATS_URL=" + nats, "NEXERO_DATABASE_URL=" + database}
	early := serve(t, "worker", settings...)
	if code := early.exitCode(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(string(early.tail()), "nexero migrate") {
		t.Errorf("nothing says what to run:\n%s", early.tail())
	}
	if _, err := nexero(t, "migrate", "--database-url", database); err != nil {
		t.Fatal(err)
	}
	serve(t, "worker", settings...).ready()
}
