package obs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// answerBytes bounds what CheckHealth reads of an answer.
const answerBytes = 64 << 10

// CheckHealth asks the process that listens for metrics on address whether it
// is ready, as a container's health check does from inside the container. It
// returns nil when it is, else an error with the process' own answer. ctx
// bounds the wait.
func CheckHealth(ctx context.Context, address string) error {
	if address == "" {
		return errors.New("obs: no address to ask for health")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("obs: address to ask for health: %w", err)
	}
	// Listening on every address is answered on the loopback one too.
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("obs: ask for health: %w", err)
	}
	// A transport of its own: no proxy may stand between a process and itself.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("obs: ask for health: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	err = errors.Join(err, response.Body.Close())
	if err != nil {
		return fmt.Errorf("obs: ask for health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("obs: %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
