package main

import (
	"slices"
	"testing"
)

// TestMistakes_Fit finds a mistake whose patch is gone or no longer fits, and one
// whose faults are none, without building anything.
func TestMistakes_Fit(t *testing.T) {
	t.Parallel()
	var seen []string
	for _, m := range mistakes() {
		if slices.Contains(seen, m.name) {
			t.Errorf("%s stands there twice", m.name)
		}
		seen = append(seen, m.name)
		if _, breaks, err := m.overlay(t.Context(), t.TempDir()); err != nil || breaks == "" {
			t.Errorf("%s breaks %q: %v", m.name, breaks, err)
		}
		if len(chosen(faults(), m.faults)) == 0 {
			t.Errorf("%s: no fault is called %q", m.name, m.faults)
		}
	}
}
