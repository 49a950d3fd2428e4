package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	attackTimeout = 20 * time.Second
	// attackSlack is what a busy machine may add to a limit of time.
	attackSlack = 8 * time.Second
	bodyTimeout = 5 * time.Second // of the stand's ingests
	bombBytes   = 256 << 20
	// tinyEvents is how many events of three bytes fit into an inflated body.
	tinyEvents = 1_300_000
	deepLevels = 100_000
)

// attacks are the ways to do harm. Their bodies are made once.
func attacks() ([]*attack, error) {
	zeros, err := packed(bytes.Repeat([]byte{0}, 1<<20), bombBytes>>20, "")
	if err != nil {
		return nil, err
	}
	zstdZeros, err := packedZstd(bombBytes >> 20)
	if err != nil {
		return nil, err
	}
	// As many as a body may have when it is inflated; the whole is some KiB.
	tiny, err := packed([]byte(strings.Repeat("{},", tinyEvents-1)+"{}]}"), 1, `{"events":[`)
	if err != nil {
		return nil, err
	}
	deep := strings.Repeat("[", deepLevels)
	return []*attack{
		{name: "slowloris: a header byte by byte", clients: 60, once: slowHeader, fine: []int{http.StatusRequestTimeout}, closes: true, limit: hostileHeaderTimeout + attackSlack},
		{name: "a body byte by byte", clients: 20, once: slowBody, fine: []int{http.StatusRequestTimeout}, closes: true, limit: bodyTimeout + attackSlack},
		{name: "connections that say nothing, more than an address may have", clients: 4, once: silentConnections, closes: true, limit: hostileHeaderTimeout + attackSlack},
		{name: "an endless body", clients: 3, once: endlessBody, fine: []int{http.StatusRequestEntityTooLarge}, closes: true, limit: attackTimeout},
		{name: "a body announced with 1 TB", clients: 2, once: hugeLength, fine: []int{http.StatusRequestEntityTooLarge}, limit: attackSlack},
		{name: fmt.Sprintf("a gzip bomb: %d KiB that become %d MiB", len(zeros)>>10, bombBytes>>20), clients: 3, once: posting(zeros, "gzip"), fine: []int{http.StatusRequestEntityTooLarge}, limit: attackSlack},
		{name: fmt.Sprintf("a zstd bomb: %d KiB that become %d MiB", len(zstdZeros)>>10, bombBytes>>20), clients: 3, once: posting(zstdZeros, "zstd"), fine: []int{http.StatusRequestEntityTooLarge}, limit: attackSlack},
		{name: fmt.Sprintf("JSON %d levels deep", deepLevels), clients: 3, once: posting([]byte(deep), ""), fine: []int{http.StatusBadRequest}, limit: attackSlack},
		{name: fmt.Sprintf("JSON %d levels deep in events", deepLevels), clients: 3, once: posting([]byte(`{"events":`+deep), ""), fine: []int{http.StatusBadRequest}, limit: attackSlack},
		{name: fmt.Sprintf("%d tiny events in a body of %d KiB", tinyEvents, len(tiny)>>10), clients: 3, once: posting(tiny, "gzip"), fine: []int{http.StatusRequestEntityTooLarge}, limit: attackSlack, events: tinyEvents},
		{name: "10,000 header fields", clients: 2, once: manyHeaders, fine: []int{http.StatusRequestHeaderFieldsTooLarge}, closes: true, limit: attackSlack},
		{name: "200 header fields in 4 KiB", clients: 2, once: fewBytesManyHeaders, fine: []int{http.StatusRequestHeaderFieldsTooLarge}, limit: attackSlack},
		{name: "an endless header", clients: 2, once: endlessHeader, fine: []int{http.StatusRequestHeaderFieldsTooLarge}, closes: true, limit: attackTimeout},
	}, nil
}

// packed compresses a head and many copies of a block with gzip.
func packed(block []byte, times int, head string) ([]byte, error) {
	var into bytes.Buffer
	writer := gzip.NewWriter(&into)
	_, err := io.WriteString(writer, head)
	for range times {
		if err == nil {
			_, err = writer.Write(block)
		}
	}
	err = errors.Join(err, writer.Close())
	return into.Bytes(), err
}

// packedZstd compresses MiBs of zeros, with a window that is not refused for
// its size alone.
func packedZstd(mibs int) ([]byte, error) {
	var into bytes.Buffer
	writer, err := zstd.NewWriter(&into, zstd.WithWindowSize(64<<10))
	if err != nil {
		return nil, err
	}
	block := make([]byte, 1<<20)
	for range mibs {
		if err == nil {
			_, err = writer.Write(block)
		}
	}
	err = errors.Join(err, writer.Close())
	return into.Bytes(), err
}

// posting posts a body.
func posting(body []byte, encoding string) func(context.Context, *target) outcome {
	return func(ctx context.Context, t *target) outcome {
		return t.post(ctx, bytes.NewReader(body), int64(len(body)), func(h http.Header) {
			if encoding != "" {
				h.Set("Content-Encoding", encoding)
			}
		})
	}
}

const attackedPath = "/api/v1/unreal/tracking/batch"

// post posts a body of some length, -1 for one that nobody knows.
func (t *target) post(ctx context.Context, body io.Reader, length int64, change func(http.Header)) outcome {
	begun := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.base+attackedPath, io.NopCloser(body))
	if err != nil {
		return outcome{err: err}
	}
	request.ContentLength = length
	request.Header.Set("X-Api-Key", t.key)
	change(request.Header)
	response, err := t.client.Do(request)
	if err != nil {
		return outcome{took: time.Since(begun)} // cut off while it was sending
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close()
	return outcome{status: response.StatusCode, took: time.Since(begun)}
}

// endless gives the same for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func endlessBody(ctx context.Context, t *target) outcome {
	return t.post(ctx, endless{}, -1, func(http.Header) {})
}

// hugeLength announces more than anybody would send, and sends the beginning.
func hugeLength(ctx context.Context, t *target) outcome {
	return t.raw(ctx, func(connection net.Conn) error {
		_, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: 1000000000000\r\n\r\n{", attackedPath, t.key)
		return err
	})
}

func manyHeaders(ctx context.Context, t *target) outcome { return t.headers(ctx, 10_000, "value") }

func fewBytesManyHeaders(ctx context.Context, t *target) outcome { return t.headers(ctx, 200, "") }

// headers sends a request with many fields.
func (t *target) headers(ctx context.Context, fields int, value string) outcome {
	var request strings.Builder
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: 2\r\n", attackedPath, t.key)
	for n := range fields {
		fmt.Fprintf(&request, "X-%d: %s\r\n", n, value)
	}
	request.WriteString("\r\n{}")
	return t.raw(ctx, func(connection net.Conn) error {
		_, err := io.WriteString(connection, request.String())
		return err
	})
}

// endlessHeader sends one field that does not end.
func endlessHeader(ctx context.Context, t *target) outcome {
	return t.raw(ctx, func(connection net.Conn) error {
		if _, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nX-Endless: ", attackedPath); err != nil {
			return err
		}
		const most = 64 << 20 // what it takes is a broken promise by then
		_, err := io.Copy(connection, io.LimitReader(endless{}, most))
		return err
	})
}

func slowHeader(ctx context.Context, t *target) outcome {
	return t.raw(ctx, func(connection net.Conn) error {
		return drip(ctx, connection, "POST "+attackedPath+" HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	})
}

func slowBody(ctx context.Context, t *target) outcome {
	return t.raw(ctx, func(connection net.Conn) error {
		return drip(ctx, connection, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: 100000\r\n\r\n", attackedPath, t.key))
	})
}

// drip sends the beginning at once and then a byte now and then, until nobody
// listens any more.
func drip(ctx context.Context, connection net.Conn, beginning string) error {
	if _, err := io.WriteString(connection, beginning); err != nil {
		return err
	}
	for end := time.Now().Add(attackTimeout); time.Now().Before(end); {
		if _, err := io.WriteString(connection, "x"); err != nil {
			return err
		}
		if !pause(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// silentConnections opens as many as an address may have and says nothing on
// them; those above are refused, the others cut off after the time for a header.
func silentConnections(ctx context.Context, t *target) outcome {
	begun := time.Now()
	var open []net.Conn
	for range hostileConnections / 2 {
		connection, err := t.dialer.DialContext(ctx, "tcp", t.base)
		if err != nil {
			break
		}
		open = append(open, connection)
	}
	for _, connection := range open {
		_ = connection.SetReadDeadline(begun.Add(attackTimeout))
		_, _ = io.Copy(io.Discard, connection) // until the server ends it
		_ = connection.Close()
	}
	return outcome{took: time.Since(begun)}
}

// raw connects, has something said, and reads how it is answered.
func (t *target) raw(ctx context.Context, speak func(net.Conn) error) outcome {
	begun := time.Now()
	connection, err := t.dialer.DialContext(ctx, "tcp", t.base)
	if err != nil {
		return outcome{took: time.Since(begun)}
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(begun.Add(attackTimeout))
	answered := make(chan outcome, 1)
	go func() {
		status, _ := readStatus(connection)
		answered <- outcome{status: status, took: time.Since(begun)}
		_ = connection.Close() // ends what is still being said
	}()
	// An error is being cut off, or having been answered.
	_ = speak(connection)
	return <-answered
}
