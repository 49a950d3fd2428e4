package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what a scrape may wait for the server.
const scrapeTimeout = time.Second

// metrics of one connection. Every series carries the connection's purpose, so
// that the stages of one process can share a registry.
type metrics struct {
	reg        prometheus.Registerer // nil: not registered
	registered []prometheus.Collector

	publishes      *prometheus.CounterVec
	publishedBytes prometheus.Counter
	publishSeconds prometheus.Histogram
	messages       prometheus.Counter
	messageBytes   prometheus.Counter
	redeliveries   prometheus.Counter
	answers        *prometheus.CounterVec
	fetchErrors    prometheus.Counter
	recreations    prometheus.Counter
	disconnects    prometheus.Counter
	reconnects     prometheus.Counter
	asyncErrors    prometheus.Counter
	scrapeErrors   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "nexero", Subsystem: "queue", Name: name, Help: help})
	}
	m := &metrics{
		reg: reg,
		publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "nexero", Subsystem: "queue", Name: "publishes_total", Help: "Attempts to publish a message, by outcome.",
		}, []string{"outcome"}),
		publishedBytes: counter("published_bytes_total", "Bytes of messages that the queue acknowledged."),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "nexero", Subsystem: "queue", Name: "publish_duration_seconds",
			Help:    "Time from sending a message to the queue's answer, whatever it was.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		messages:     counter("fetched_messages_total", "Messages handed out, redeliveries included."),
		messageBytes: counter("fetched_bytes_total", "Bytes of messages handed out, redeliveries included."),
		redeliveries: counter("redelivered_messages_total", "Messages handed out that had been delivered before."),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "nexero", Subsystem: "queue", Name: "answers_total", Help: "Answers to delivered messages, by kind.",
		}, []string{"kind"}),
		fetchErrors:  counter("fetch_errors_total", "Fetches that failed."),
		recreations:  counter("consumer_recreations_total", "Times the consumer was missing and made again."),
		disconnects:  counter("disconnects_total", "Times the connection broke."),
		reconnects:   counter("reconnects_total", "Times the connection was made again."),
		asyncErrors:  counter("connection_errors_total", "Errors of the connection outside any call."),
		scrapeErrors: counter("scrape_errors_total", "Scrapes at which the queue's state was not to be had."),
	}
	// Series exist from the start, so that the first failure is a step from 0.
	for _, o := range []outcome{outcomeStored, outcomeDuplicate, outcomeFull, outcomeTooLarge, outcomeUnavailable, outcomeUnknown} {
		m.publishes.WithLabelValues(string(o))
	}
	return m
}

// register makes the series of c visible. They carry the connection's purpose
// as a label.
func (m *metrics) register(c *Conn) error {
	if m.reg == nil {
		return nil
	}
	m.reg = prometheus.WrapRegistererWith(prometheus.Labels{"connection": string(c.purpose)}, m.reg)
	for _, collector := range []prometheus.Collector{
		m.publishes, m.publishedBytes, m.publishSeconds, m.messages, m.messageBytes, m.redeliveries, m.answers,
		m.fetchErrors, m.recreations, m.disconnects, m.reconnects, m.asyncErrors, m.scrapeErrors, newStateCollector(c),
	} {
		if err := m.reg.Register(collector); err != nil {
			m.unregister()
			return err
		}
		m.registered = append(m.registered, collector)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, collector := range m.registered {
		m.reg.Unregister(collector)
	}
	m.registered = nil
}

func (m *metrics) published(what outcome, took time.Duration, size int) {
	m.publishes.WithLabelValues(string(what)).Inc()
	m.publishSeconds.Observe(took.Seconds())
	if what == outcomeStored || what == outcomeDuplicate {
		m.publishedBytes.Add(float64(size))
	}
}

func (m *metrics) fetched(one *Message) {
	m.messages.Inc()
	m.messageBytes.Add(float64(len(one.data)))
	if one.deliveries > 1 {
		m.redeliveries.Inc()
	}
}

// stateCollector asks the server at every scrape. Each process reports the same
// numbers: aggregate them with max.
type stateCollector struct {
	conn      *Conn
	connected prometheus.Gauge
	gauges    []stateGauge
}

type stateGauge struct {
	prometheus.Gauge

	value func(Status) float64
}

func newStateCollector(c *Conn) *stateCollector {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "nexero", Subsystem: "queue", Name: name, Help: help})
	}
	return &stateCollector{
		conn:      c,
		connected: gauge("connected", "1 while the connection to the queue stands."),
		gauges: []stateGauge{
			{gauge("messages", "Messages stored."), func(q Status) float64 { return float64(q.Messages) }},
			{gauge("bytes", "Bytes stored."), func(q Status) float64 { return float64(q.Bytes) }},
			{gauge("max_bytes", "Bytes the queue may store."), func(q Status) float64 { return float64(q.MaxBytes) }},
			{gauge("pending_messages", "Messages not delivered yet."), func(q Status) float64 { return float64(q.Pending) }},
			{gauge("ack_pending_messages", "Messages delivered and not acknowledged."), func(q Status) float64 { return float64(q.AckPending) }},
			{gauge("waiting_pulls", "Requests of workers that wait for messages."), func(q Status) float64 { return float64(q.WaitingPulls) }},
			{gauge("lost_messages", "Messages that the server lost to damaged files."), func(q Status) float64 { return float64(q.LostMessages) }},
			{gauge("oldest_message_timestamp_seconds", "When the oldest stored message was stored, 0 when there is none."), oldestSeconds},
		},
	}
}

func oldestSeconds(q Status) float64 {
	if q.Oldest.IsZero() {
		return 0
	}
	return float64(q.Oldest.UnixMilli()) / 1000
}

// Describe implements [prometheus.Collector].
func (s *stateCollector) Describe(out chan<- *prometheus.Desc) {
	s.connected.Describe(out)
	for _, g := range s.gauges {
		g.Describe(out)
	}
}

// Collect implements [prometheus.Collector]. Without an answer in time only the
// connection's own state is reported: a missing series is visible, an old
// number is not.
func (s *stateCollector) Collect(out chan<- prometheus.Metric) {
	connected := s.conn.nc.IsConnected()
	s.connected.Set(0)
	if connected {
		s.connected.Set(1)
	}
	s.connected.Collect(out)
	if !connected {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	status, err := s.conn.Status(ctx)
	if err != nil {
		s.conn.metrics.scrapeErrors.Inc()
		return
	}
	for _, g := range s.gauges {
		g.Set(g.value(status))
		g.Collect(out)
	}
}
