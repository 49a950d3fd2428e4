package main

import (
	"io"
	"slices"
	"strings"

	"github.com/nexero-vr/nexero/internal/obs"
)

// look is how text may look where it is printed. The zero value is plain.
type look struct{ colour bool }

// newLook allows colours on a terminal whose owner does not object.
func newLook(w io.Writer, env []string) look {
	objects := slices.ContainsFunc(env, func(pair string) bool {
		return strings.HasPrefix(pair, "NO_COLOR=") && pair != "NO_COLOR=" || pair == "TERM=dumb"
	})
	return look{colour: obs.IsTerminal(w) && !objects}
}

func (l look) in(code, text string) string {
	if !l.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (l look) bold(text string) string  { return l.in("1", text) }
func (l look) faint(text string) string { return l.in("2", text) }
func (l look) good(text string) string  { return l.in("32", text) }
func (l look) alarm(text string) string { return l.in("1;31", text) }
