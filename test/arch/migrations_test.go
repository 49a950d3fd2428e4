package arch

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// Two branches that each add the next number must not both pass.
func TestMigrations_AreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(root, "migrations", "*.sql"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	slices.Sort(paths)
	for i, path := range paths {
		name := filepath.Base(path)
		match := migrationName.FindStringSubmatch(name)
		if match == nil {
			t.Errorf("migrations/%s is not named NNNN_what_it_does.sql", name)
			continue
		}
		if want := fmt.Sprintf("%04d", i+1); match[1] != want {
			t.Errorf("migrations/%s has number %s, the next is %s", name, match[1], want)
		}
	}
}
