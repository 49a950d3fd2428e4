package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// kind is what a service does.
type kind string

const (
	kindIngest kind = "ingest"
	kindWorker kind = "worker"
	kindQuery  kind = "query"
)

// service is an ingest, a worker or a query process.
type service struct {
	*process

	kind    kind
	listen  string // for clients; empty for a worker
	metrics string
	// lines are the links to the stores, by store: one to each of its servers.
	lines map[string]link.Bundle
}

// Time-outs are short, so that what waits for one goes on within a round; their
// order is that of production. AckWait is the shortest that is allowed.
const (
	ackWait      = 5 * time.Second
	drainTimeout = 10 * time.Second
	// streamBytes is what the stream may hold.
	streamBytes = 256 << 20
)

const maxBytesSetting = "NEXERO_QUEUE_MAX_BYTES=256MiB"

func commonSettings() []string {
	return []string{
		"NEXERO_LOG_FORMAT=json",
		"NEXERO_DRAIN_TIMEOUT=" + drainTimeout.String(),
		maxBytesSetting,
		"NEXERO_QUEUE_ACK_WAIT=" + ackWait.String(),
		"NEXERO_QUEUE_REQUEST_TIMEOUT=2s",
	}
}

func settingsOf(k kind) []string {
	switch k {
	case kindIngest:
		return []string{"NEXERO_REQUEST_TIMEOUT=4s", "NEXERO_BODY_TIMEOUT=5s", "NEXERO_SESSION_STATE_MAX_BYTES=16MiB"}
	case kindWorker:
		return []string{
			"NEXERO_LOAD_TIMEOUT=4s", "NEXERO_DATABASE_STATEMENT_TIMEOUT=3s", "NEXERO_DATABASE_IDLE_TIMEOUT=4s",
			"NEXERO_DATABASE_LOCK_TIMEOUT=2s", "NEXERO_ROLLUP_INTERVAL=1s", "NEXERO_DATABASE_MAX_CONNS=8",
			retentionSetting(longRetention),
		}
	default:
		return []string{"NEXERO_READ_STATEMENT_TIMEOUT=3s", "NEXERO_READ_REQUEST_TIMEOUT=5s"}
	}
}

// addService describes a service; raise starts it.
func (s *stand) addService(ctx context.Context, k kind, number int) error {
	v := &service{kind: k, lines: map[string]link.Bundle{}}
	s.services = append(s.services, v) // from now on its links are stopped with the stand
	settings := append(commonSettings(), settingsOf(k)...)
	var err error
	if v.metrics, err = s.addrs.take(); err != nil {
		return err
	}
	settings = append(settings, "NEXERO_METRICS_LISTEN="+v.metrics)
	name := fmt.Sprintf("%s-%d", k, number)
	if k != kindWorker {
		if v.listen, err = s.addrs.take(); err != nil {
			return err
		}
		settings = append(settings, "NEXERO_LISTEN="+v.listen)
	}
	var queueURLs []string
	for _, server := range s.natsServers() {
		url, err := v.join(ctx, toNATS, server.client, server.url(server.client))
		if err != nil {
			return err
		}
		queueURLs = append(queueURLs, url)
	}
	settings = append(settings, "NEXERO_NATS_URL="+strings.Join(queueURLs, ","), s.cluster.replicas())
	if k == kindIngest {
		settings = append(settings, "NEXERO_HIGH_RATE_KEYS="+s.keyID, s.clockSetting(name))
	} else {
		databaseURL, err := v.join(ctx, toDatabase, s.database.address(), s.database.url())
		if err != nil {
			return err
		}
		settings = append(settings, "NEXERO_DATABASE_URL="+databaseURL)
	}
	v.process = s.newProcess(name, string(k), nil, append(settings, s.extra...)) // of two alike the last counts
	return nil
}

// join opens a link to a server of a store at address and returns the server's
// URL by way of it.
func (v *service) join(ctx context.Context, store, address, url string) (string, error) {
	on, err := link.Open(ctx, address)
	if err != nil {
		return "", err
	}
	v.lines[store] = append(v.lines[store], on)
	return on.URL(url)
}

// lookPatience bounds one look at a service.
const lookPatience = 2 * time.Second

// ready asks the service whether it could do its work.
func (v *service) ready(ctx context.Context) error {
	text, err := get(ctx, "http://"+v.metrics+"/readyz")
	if err != nil {
		return fmt.Errorf("%s: %w", bytes.TrimSpace(text), err)
	}
	return nil
}

// get reads a page; one that is not answered 200 is an error.
func get(ctx context.Context, url string) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Close = true // what is looked at must not count our connections
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	const most = 4 << 20
	if text, err = io.ReadAll(io.LimitReader(response.Body, most)); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return text, fmt.Errorf("status %d", response.StatusCode)
	}
	return text, nil
}

// scrape reads the service's metrics.
func (v *service) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	text, err := get(ctx, "http://"+v.metrics+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", v.name, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", v.name, err)
	}
	return families, nil
}

// gauges reads the service's metrics: by name, the sum over all labels.
func (v *service) gauges(ctx context.Context) (map[string]float64, error) {
	families, err := v.scrape(ctx)
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			sums[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sums, nil
}

// nexero runs one of the operator's commands and returns what it printed.
func (s *stand) nexero(ctx context.Context, args ...string) (string, error) {
	return s.nexeroWith(ctx, nil, args...)
}

// nexeroWith does the same with settings on top of its own.
func (s *stand) nexeroWith(ctx context.Context, settings []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, s.programs.path("nexero"), args...)
	command.Env = append(cleanEnvironment(),
		"NEXERO_NATS_URL="+s.queueURL(), s.cluster.replicas(), "NEXERO_DATABASE_URL="+s.database.url(),
		maxBytesSetting, "NEXERO_QUEUE_ACK_WAIT="+ackWait.String(), retentionSetting(longRetention))
	command.Env = append(command.Env, settings...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("nexero %s: %w\n%s%s", args[0], err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}
