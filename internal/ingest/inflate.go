package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Content encodings. They are the label of a metric.
const (
	encodingIdentity = "identity"
	encodingGzip     = "gzip"
	encodingZstd     = "zstd"
	encodingOther    = "other"
)

//nolint:gochecknoglobals // a table that never changes
var encodings = []string{encodingIdentity, encodingGzip, encodingZstd, encodingOther}

// parseEncoding names the encoding of a Content-Encoding header, encodingOther
// for one that is not supported. Stacked encodings are not.
func parseEncoding(header string) string {
	switch strings.ToLower(strings.TrimSpace(header)) {
	case "", encodingIdentity:
		return encodingIdentity
	case encodingGzip, "x-gzip":
		return encodingGzip
	case encodingZstd:
		return encodingZstd
	}
	return encodingOther
}

// errInflatedTooLarge means that a body is larger than allowed once inflated.
var errInflatedTooLarge = errors.New("ingest: the body is too large when inflated")

// errWindowTooLarge means that a zstd frame asks for more history than is kept.
var errWindowTooLarge = errors.New("ingest: the zstd window is too large")

// inflater turns compressed bodies into plain ones. It is safe for concurrent
// use and never makes more than the limit of each of them.
type inflater struct {
	limit   int64
	gzips   sync.Pool // of *gzip.Reader
	buffers *sync.Pool
	zstd    *zstd.Decoder
}

// zstdWindow is the history that a zstd frame may ask for: what every decoder
// is expected to grant, so that no usual compressor is refused.
const zstdWindow = 8 << 20

func newInflater(limit int64, buffers *sync.Pool) (*inflater, error) {
	// With no stream to read, the decoder is stateless: it works in memory, on
	// as many bodies at once as there are processors, and has no goroutines.
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow),
		// It bounds the window as well, hence the larger one of the two. What is
		// beyond the limit is refused below, after at most this much was made.
		zstd.WithDecoderMaxMemory(uint64(max(limit, zstdWindow))),
	)
	if err != nil {
		return nil, fmt.Errorf("ingest: make a zstd decoder: %w", err)
	}
	return &inflater{limit: limit, buffers: buffers, zstd: decoder}, nil
}

// inflate returns the plain form of body. The error is errInflatedTooLarge, or
// says what is broken.
func (f *inflater) inflate(encoding, body string) (string, error) {
	if encoding == encodingZstd {
		return f.unzstd(body)
	}
	return f.gunzip(body)
}

func (f *inflater) unzstd(body string) (string, error) {
	packed := []byte(body)
	// A frame that says its size is refused before anything is made of it. The
	// size is the client's word: what does not say so is stopped on the way.
	var frame zstd.Header
	if err := frame.Decode(packed); err == nil && frame.HasFCS && frame.FrameContentSize > uint64(f.limit) {
		return "", errInflatedTooLarge
	}
	plain, err := f.zstd.DecodeAll(packed, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), err == nil && int64(len(plain)) > f.limit:
		return "", errInflatedTooLarge
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return "", errWindowTooLarge
	case err != nil:
		return "", fmt.Errorf("ingest: inflate zstd: %w", err)
	}
	// A copy of the exact size: the decoder's slice can be far larger, and the
	// batch keeps parts of the body until it is acknowledged.
	return string(plain), nil
}

func (f *inflater) gunzip(body string) (string, error) {
	reader, _ := f.gzips.Get().(*gzip.Reader)
	if reader == nil {
		reader = new(gzip.Reader)
	}
	defer f.gzips.Put(reader)
	if err := reader.Reset(strings.NewReader(body)); err != nil {
		return "", fmt.Errorf("ingest: inflate gzip: %w", err)
	}
	var plain strings.Builder
	plain.Grow(int(f.gzipSize(body)))
	buffer, _ := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(buffer)
	for {
		n, err := reader.Read(*buffer)
		if int64(plain.Len()+n) > f.limit {
			return "", errInflatedTooLarge
		}
		plain.Write((*buffer)[:n])
		switch {
		case errors.Is(err, io.EOF):
			return plain.String(), nil
		case err != nil:
			return "", fmt.Errorf("ingest: inflate gzip: %w", err)
		}
	}
}

// mostDeflated is the best ratio that the deflate format can reach.
const mostDeflated = 1032

// gzipSize guesses the plain size from the trailer, which the client wrote: it
// is a hint for one allocation and never more than the limit or the format can
// mean.
func (f *inflater) gzipSize(body string) int64 {
	const trailer = 4
	if len(body) < trailer {
		return 0
	}
	stated := int64(binary.LittleEndian.Uint32([]byte(body[len(body)-trailer:])))
	return min(stated, int64(len(body))*mostDeflated, f.limit)
}
