package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

// answer is what of an ingest's answer can be compared with the truth.
type answer struct {
	BatchID   string `json:"batch_id"`
	Processed int    `json:"processed"`
	Failed    int    `json:"failed"`
	Duplicate bool   `json:"duplicate"`
	Code      string `json:"code"`
}

// ask posts and waits for the answer.
func (h *headset) ask(ctx context.Context, base string, id event.UUID, post *sim.Post) (f fate, retryAfter time.Duration) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+base+post.Path, strings.NewReader(post.Body))
	if err != nil {
		h.fail(err)
		return fateUnsent, 0
	}
	for name, value := range post.Headers {
		request.Header.Set(name, value)
	}
	// The client library repeats what it calls idempotent by itself, unseen.
	request.GetBody = nil
	key := h.key()
	request.Header.Set("X-Api-Key", key)
	response, err := h.client.Do(request)
	if err != nil {
		return fateOfError(err), 0
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err := errors.Join(err, response.Body.Close()); err != nil && response.StatusCode < 300 {
		return fateOpen, 0 // the status line alone is no acknowledgement that a client could read
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return h.judge(response.StatusCode, text, key, id, post), time.Duration(seconds) * time.Second
}

// fateOfError tells an attempt that reached nobody from one that may have.
func fateOfError(err error) fate {
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "dial" {
		return fateUnsent
	}
	return fateOpen
}

// judge says what an answer means, and notes one that no truth explains.
func (h *headset) judge(status int, text []byte, key string, id event.UUID, post *sim.Post) fate {
	var a answer
	err := json.Unmarshal(text, &a)
	switch {
	case status < 300:
		agrees := a.Processed == post.Accepted && a.Failed == post.Rejected ||
			h.mixed.Load() && a.Processed+a.Failed == post.Accepted+post.Rejected
		if err != nil || a.BatchID != id.String() || !agrees {
			h.ledger.surprise("answer %d to batch %s: %s; want that batch, %d events processed and %d failed",
				status, id, bytes.TrimSpace(text), post.Accepted, post.Rejected)
		}
		return fateAcknowledged
	case status == http.StatusUnauthorized && h.refused(key):
		return fateRefused
	case status == http.StatusTooManyRequests:
		return fateUnsent // refused before its body was read
	case status == http.StatusRequestTimeout, status >= 500:
		return fateOpen
	default:
		h.ledger.surprise("answer %d to batch %s with a valid key: %s", status, id, bytes.TrimSpace(text))
		return fateRefused
	}
}

// vanish sends the first bytes of a body and closes the connection without
// waiting for an answer.
func (h *headset) vanish(ctx context.Context, base string, post *sim.Post, size int) fate {
	dialer := net.Dialer{Timeout: attemptTimeout}
	connection, err := dialer.DialContext(ctx, "tcp", base)
	if err != nil {
		return fateUnsent
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n", post.Path, base, h.key(), len(post.Body))
	for name, value := range post.Headers {
		fmt.Fprintf(&request, "%s: %s\r\n", name, value)
	}
	request.WriteString("\r\n" + post.Body[:size])
	_ = connection.SetDeadline(time.Now().Add(attemptTimeout))
	_, err = connection.Write(request.Bytes())
	_ = connection.Close() // it vanishes: nobody hears of an error
	if err != nil || size < len(post.Body) {
		return fateUnsent // a body that is not whole is never read as a post
	}
	return fateOpen
}
