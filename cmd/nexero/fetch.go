package main

import (
	"fmt"
	"io"
	"os"

	"github.com/nexero-vr/nexero/internal/devstack"
)

// fetchCommand is how the program calls itself to download PostgreSQL as an
// unprivileged user. It is not for people, so no help names it.
const fetchCommand = "fetch-postgres"

// fetchMain does the download when the program was called for it.
func fetchMain(args []string, out io.Writer) (code int, called bool) {
	if len(args) < 2 || args[1] != fetchCommand {
		return 0, false
	}
	if err := devstack.FetchMain(args[2:], out); err != nil {
		// Without a standard error there is nobody to tell.
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}
