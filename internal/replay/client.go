package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// maxAnswer is the most that is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Client posts to one ingest. It is safe for concurrent use.
type Client struct {
	// BaseURL is the ingest's address, without a path.
	BaseURL string
	// Key is the API key; it is sent as X-API-Key.
	Key string
	// HTTP does the requests; its Timeout bounds one attempt.
	HTTP *http.Client
	// GiveUp is how long one request is repeated before Post fails.
	GiveUp time.Duration
}

// Answer is what the server finally said to a request.
type Answer struct {
	// Status is the HTTP status: 2xx accepted, 4xx refused for good.
	Status int `json:"-"`
	// Processed and Failed count the batch's events; both are 0 for a session post.
	Processed int `json:"processed"`
	Failed    int `json:"failed"`
	// Duplicate says that the server remembered the batch.
	Duplicate bool `json:"duplicate"`
	// Detail is the server's sentence on an error.
	Detail string `json:"detail"`
	// Attempts is how often the bytes were sent.
	Attempts int `json:"-"`
	// Latency is how long the last attempt took.
	Latency time.Duration `json:"-"`
}

// Post sends body until the server accepts or refuses it. It repeats the same
// bytes after a connection error or a status of 408, 429 or 5xx, waiting as
// long as Retry-After says. The error is the last failure once GiveUp has
// passed, or the context's.
func (c *Client) Post(ctx context.Context, path string, header map[string]string, body []byte) (Answer, error) {
	attempts := 0
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 50 * time.Millisecond
	wait.MaxInterval = 2 * time.Second
	answer, err := backoff.Retry(ctx, func() (Answer, error) {
		attempts++
		return c.attempt(ctx, path, header, body)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(c.GiveUp))
	answer.Attempts = attempts
	if err != nil {
		return answer, fmt.Errorf("post %s, %d attempts: %w", path, attempts, err)
	}
	return answer, nil
}

func (c *Client) attempt(ctx context.Context, path string, header map[string]string, body []byte) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, backoff.Permanent(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	if c.Key != "" {
		request.Header.Set("X-API-Key", c.Key)
	}
	start := time.Now()
	response, err := c.HTTP.Do(request)
	if err != nil {
		return Answer{}, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	answer := Answer{Latency: time.Since(start)}
	// An answer that is no JSON, from a proxy say, still has its status.
	if err := json.Unmarshal(text, &answer); err != nil && answer.Detail == "" {
		answer.Detail = "the answer is not the JSON of an ingest"
	}
	answer.Status = response.StatusCode
	switch {
	case response.StatusCode == http.StatusRequestTimeout,
		response.StatusCode == http.StatusTooManyRequests,
		response.StatusCode >= http.StatusInternalServerError:
		return answer, retryLater(response, answer)
	}
	return answer, nil
}

// retryLater wraps a refusal so that the next attempt waits for Retry-After.
func retryLater(response *http.Response, answer Answer) error {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return fmt.Errorf("status %d: %s", answer.Status, answer.Detail)
	}
	return fmt.Errorf("status %d: %s: %w", answer.Status, answer.Detail, backoff.RetryAfter(seconds))
}
