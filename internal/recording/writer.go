package recording

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Writer writes a recording. Equal requests give equal bytes. It is for one
// goroutine.
type Writer struct {
	file    io.Closer
	gzip    *gzip.Writer
	buffer  *bufio.Writer
	encoder *json.Encoder
	atMS    int64
}

// Create makes the recording at path, or begins it anew. It is complete when
// Close has returned without an error.
func Create(path string) (*Writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	w := newWriter(file)
	w.file = file
	return w, nil
}

func newWriter(to io.Writer) *Writer {
	w := &Writer{gzip: gzip.NewWriter(to)}
	w.buffer = bufio.NewWriter(w.gzip)
	w.encoder = json.NewEncoder(w.buffer)
	w.encoder.SetEscapeHTML(false)
	return w
}

// Write appends a request, which must not be earlier than the one before it.
func (w *Writer) Write(request Request) error {
	err := request.check()
	if err == nil && request.AtMS < w.atMS {
		err = fmt.Errorf("at_ms goes back from %d to %d", w.atMS, request.AtMS)
	}
	if err == nil {
		err = w.encoder.Encode(request)
	}
	if err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	w.atMS = request.AtMS
	return nil
}

// Close writes what is left and closes the file.
func (w *Writer) Close() error {
	err := errors.Join(w.buffer.Flush(), w.gzip.Close())
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	if err != nil {
		return fmt.Errorf("close recording: %w", err)
	}
	return nil
}
