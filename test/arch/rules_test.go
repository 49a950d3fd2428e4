package arch

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notYet are the rules for which there is nothing to test so far, and why.
var notYet = map[int]string{}

var (
	ruleHeading = regexp.MustCompile(`(?m)^## (\d+)\. `)
	ruleNamed   = regexp.MustCompile(`(?m)//.*?\brules? (\d+(?:(?:, | and )\d+)*)`)
	number      = regexp.MustCompile(`\d+`)
)

// The rules are promises; one that no test names is a wish.
func TestRules_AreGuarded(t *testing.T) {
	t.Parallel()
	rules := map[int]bool{}
	for _, heading := range ruleHeading.FindAllStringSubmatch(string(read(t, "docs/invariants.md")), -1) {
		n, err := strconv.Atoi(heading[1])
		if err != nil {
			t.Fatal(err)
		}
		if rules[n] {
			t.Errorf("docs/invariants.md has rule %d twice", n)
		}
		rules[n] = true
	}
	if len(rules) == 0 {
		t.Fatal("docs/invariants.md has no heading like \"## 1. 202 means durable\"")
	}

	named := map[int][]string{}
	walk(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") || path == "test/arch/rules_test.go" {
			return
		}
		for _, comment := range ruleNamed.FindAllStringSubmatch(string(read(t, path)), -1) {
			for _, digits := range number.FindAllString(comment[1], -1) {
				n, err := strconv.Atoi(digits)
				if err != nil || !rules[n] {
					t.Errorf("%s names rule %s, which docs/invariants.md does not have", path, digits)
					continue
				}
				named[n] = append(named[n], path)
			}
		}
	})
	for _, n := range slices.Sorted(maps.Keys(rules)) {
		switch reason, waits := notYet[n]; {
		case waits && len(named[n]) > 0:
			t.Errorf("rule %d waits because %s, but %s tests it: remove it from notYet", n, reason, named[n][0])
		case !waits && len(named[n]) == 0:
			t.Errorf("no test names rule %d of docs/invariants.md", n)
		}
	}
}
