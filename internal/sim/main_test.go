package sim

import (
	"flag"
	"testing"
)

func TestMain(m *testing.M) {
	// Each run of a property is a whole run of headsets, decoded and folded.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	m.Run()
}
