package recording

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// maxLine is the longest line, in bytes: four times the largest body that is
// accepted, since a line holds the body quoted.
const maxLine = 16 << 20

// Reader reads a recording request by request, so that its size does not
// matter. It is for one goroutine.
type Reader struct {
	file  io.Closer
	gzip  *gzip.Reader
	lines *bufio.Scanner
	name  string
	line  int   // number of the line read last
	atMS  int64 // of that line
	err   error // the first failure, which stays
}

// Open opens the recording at path. The caller closes it.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	r, err := newReader(path, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.file = file
	return r, nil
}

func newReader(name string, from io.Reader) (*Reader, error) {
	inflated, err := gzip.NewReader(from)
	if err != nil {
		return nil, fmt.Errorf("open recording %s: %w", name, err)
	}
	lines := bufio.NewScanner(inflated)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &Reader{gzip: inflated, lines: lines, name: name}, nil
}

// Next returns the next request, or io.EOF after the last. Every other error
// names the file and the line and comes again on each further call.
func (r *Reader) Next() (Request, error) {
	if r.err != nil {
		return Request{}, r.err
	}
	request, err := r.next()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("recording %s, line %d: %w", r.name, r.line, err)
		}
		r.err = err
		return Request{}, err
	}
	return request, nil
}

func (r *Reader) next() (Request, error) {
	more := r.lines.Scan()
	if err := r.lines.Err(); err != nil {
		r.line++ // the line that could not be read
		if errors.Is(err, bufio.ErrTooLong) {
			return Request{}, fmt.Errorf("longer than %d bytes", maxLine)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Request{}, errors.New("the file ends too early")
		}
		return Request{}, err
	}
	if !more {
		return Request{}, io.EOF
	}
	r.line++
	request, err := parseLine(r.lines.Bytes())
	if err != nil {
		return Request{}, err
	}
	if request.AtMS < r.atMS {
		return Request{}, fmt.Errorf("at_ms goes back from %d to %d", r.atMS, request.AtMS)
	}
	r.atMS = request.AtMS
	return request, nil
}

// parseLine is strict: a body that was changed on the way would be another
// request, and nobody would notice.
func parseLine(line []byte) (Request, error) {
	// The decoder would replace broken bytes.
	if !utf8.Valid(line) {
		return Request{}, errors.New("not UTF-8")
	}
	var read struct {
		Request

		Body *string `json:"body"` // to tell a missing one from an empty one
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&read); {
	case errors.Is(err, io.EOF): // which would pass for the end of the recording
		return Request{}, errors.New("empty line")
	case err != nil:
		return Request{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("more than one value")
	}
	if read.Body == nil {
		return Request{}, errors.New("body is missing")
	}
	read.Request.Body = *read.Body
	return read.Request, read.check()
}

// Close closes the file.
func (r *Reader) Close() error {
	err := r.gzip.Close()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}
