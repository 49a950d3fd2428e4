package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Telemetry is what a program tells others about itself: traces to an OTLP
// collector, errors to Sentry. Both are off without an address.
type Telemetry struct {
	TraceEndpoint      ConnURL `name:"trace_endpoint" help:"OTLP/HTTP collector that gets traces, such as http://collector:4318; a path replaces /v1/traces; empty: no traces."`
	TraceHeaders       Secret  `name:"trace_headers" help:"Headers for the collector, as name=value,name=value."`
	TraceSampleRatio   Ratio   `name:"trace_sample_ratio" default:"0.01" help:"Share of requests and roll-ups that are traced, 0 to 1."`
	TraceFollowClients bool    `name:"trace_follow_clients" help:"Let the header traceparent decide whether a request is traced and which trace it is part of; only where clients cannot set it."`
	SentryDSN          ConnURL `name:"sentry_dsn" help:"Sentry project that gets errors, as https://key@host/project; empty: none."`
}

// Validate reports addresses and headers that nothing can be sent with. It
// repeats no header and no key.
func (t *Telemetry) Validate() error {
	var errs []error
	if text := t.TraceEndpoint.Reveal(); text != "" {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			errs = append(errs, fmt.Errorf("%s is no address such as http://collector:4318; secrets go into %s", title("trace_endpoint"), title("trace_headers")))
		}
	}
	if _, err := t.Headers(); err != nil {
		errs = append(errs, err)
	}
	if text := t.SentryDSN.Reveal(); text != "" {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User.Username() == "" || strings.Trim(u.Path, "/") == "" {
			errs = append(errs, fmt.Errorf("%s is no address such as https://key@host/project", title("sentry_dsn")))
		}
	}
	return errors.Join(errs...)
}

// Headers returns TraceHeaders by name.
func (t *Telemetry) Headers() (map[string]string, error) {
	headers := map[string]string{}
	for i, one := range split(t.TraceHeaders.Reveal()) {
		name, value, _ := strings.Cut(one, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !httpguts.ValidHeaderFieldName(name) || value == "" || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%s: number %d is no header such as name=value", title("trace_headers"), i+1)
		}
		headers[name] = value
	}
	return headers, nil
}

// Ratio is a share, from 0 for none to 1 for all.
type Ratio float64

// String returns the ratio in the form in which it is read.
func (r Ratio) String() string { return strconv.FormatFloat(float64(r), 'g', -1, 64) }

// UnmarshalText reads a number from 0 to 1.
func (r *Ratio) UnmarshalText(text []byte) error {
	share, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return fmt.Errorf("%q is no share from 0 to 1", text)
	}
	*r = Ratio(share)
	return nil
}
