package recording

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// Count returns the number of requests in the recording at path. It inflates and
// looks for line ends only, several times quicker than a [Reader], and so takes
// every recording that a Reader takes and some that it does not: the number is
// good for showing progress and proves nothing.
func Count(path string) (requests int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("count requests: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if requests, err = countLines(file); err != nil {
		return 0, fmt.Errorf("count requests of %s: %w", path, err)
	}
	return requests, nil
}

// countLines counts as the Reader does: a last line needs no end.
func countLines(from io.Reader) (lines int, err error) {
	inflated, err := gzip.NewReader(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, inflated.Close()) }()
	buffer, newline := make([]byte, 64<<10), []byte{'\n'}
	open := false // whether the last line has no end yet
	for {
		n, err := inflated.Read(buffer)
		if n > 0 {
			lines += bytes.Count(buffer[:n], newline)
			open = !bytes.HasSuffix(buffer[:n], newline)
		}
		switch {
		case errors.Is(err, io.EOF) && open:
			return lines + 1, nil
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return 0, err
		}
	}
}
