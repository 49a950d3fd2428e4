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

// StopVariable is the same for a process that does not die there but stops, as
// with SIGSTOP from outside at just that place, until somebody sends SIGCONT.
const StopVariable = "CHAOS_STOP"

// Prefix begins the line that a process writes to stderr before it dies here;
// "reached " and the setting follow it, or "stopped at ".
const Prefix = "crashpoint: "

// Nth is the setting with which a process dies when it reaches p for the n-th
// time, counted from 1.
func (p Point) Nth(n int) string { return string(p) + ":" + strconv.Itoa(n) }

// parse reads the setting of a variable.
func parse(variable, text string) (Point, int64, error) {
	name, count, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		return "", 0, fmt.Errorf("%s=%q: name:n is wanted, with n from 1", variable, text)
	}
	if !slices.Contains(All(), Point(name)) {
		return "", 0, fmt.Errorf("%s=%q: there is no such point", variable, text)
	}
	return Point(name), n, nil
}
