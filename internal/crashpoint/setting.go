package crashpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Variable is the environment variable that a fault run sets, to what
// [Point.Nth] returns.
const Variable = "CHAOS_CRASH"

// Prefix begins the line that a process writes to stderr before it dies here;
// "reached " and the setting follow it.
const Prefix = "crashpoint: "

// Nth is the setting with which a process dies when it reaches p for the n-th
// time, counted from 1.
func (p Point) Nth(n int) string { return string(p) + ":" + strconv.Itoa(n) }

// parse reads a setting.
func parse(text string) (Point, int64, error) {
	name, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		return "", 0, fmt.Errorf("%s=%q: name:n is wanted, with n from 1", Variable, text)
	}
	if !slices.Contains(All(), Point(name)) {
		return "", 0, fmt.Errorf("%s=%q: there is no such point", Variable, text)
	}
	return Point(name), n, nil
}
