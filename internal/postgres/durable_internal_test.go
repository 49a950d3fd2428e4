package postgres

import (
	"errors"
	"strings"
	"testing"
)

// What a server of the tests cannot be made to say: they all keep what they
// commit.
//
// rule 3
func TestCheckDurable_EveryProblemIsNamed(t *testing.T) {
	t.Parallel()
	good := durability{fsync: "on", synchronousCommit: "on", encoding: "UTF8", version: 150018}
	for _, test := range []struct {
		name    string
		change  func(*durability)
		standby bool
		want    string
	}{
		{"good", func(*durability) {}, false, ""},
		{"fsync off", func(d *durability) { d.fsync = "off" }, false, "fsync is off"},
		{"commit does not wait", func(d *durability) { d.synchronousCommit = "off" }, false, "synchronous_commit is off"},
		{"commit waits for this disk only", func(d *durability) { d.synchronousCommit = "local" }, false, "synchronous_commit is local"},
		{"commit waits for the standby", func(d *durability) { d.synchronousCommit = "remote_apply" }, false, ""},
		{"no standby", func(*durability) {}, true, "standby is required"},
		{"a standby", func(d *durability) { d.standbys = "b" }, true, ""},
		{"other encoding", func(d *durability) { d.encoding = "LATIN1" }, false, "encoding is LATIN1"},
		{"in recovery", func(d *durability) { d.inRecovery, d.readOnly = true, true }, false, "standby in recovery"},
		{"read only", func(d *durability) { d.readOnly = true }, false, "read_only is on"},
		{"old", func(d *durability) { d.version = 140010 }, false, "version 14"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := good
			test.change(&d)
			err := errors.Join(d.problems(test.standby)...)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("problems: %v", err)
			case test.want != "" && (!errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("problems: %v, want %q", err, test.want)
			}
		})
	}
}
