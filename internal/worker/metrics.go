package worker

import "github.com/prometheus/client_golang/prometheus"

// Labels of answers that could not be sent.
const (
	answerAck        = "ack"
	answerNak        = "nak"
	answerInProgress = "in_progress"
)

// Labels of what became of a message.
const (
	outcomeLoaded   = "loaded"
	outcomeKept     = "kept_as_damaged"
	outcomeDeferred = "deferred"
	outcomeReleased = "released"
	outcomeNewer    = "newer_layout"
)

// Labels of what became of a batch.
const (
	batchNew         = "new"
	batchRepeat      = "repeat"
	batchRedelivered = "redelivered"
	batchReused      = "id_reused"
)

// Labels of writes that failed, beside those of Class.
const (
	writeLoad       = "load"
	writeKeep       = "keep_damaged"
	writePartitions = "partitions"
)

// metrics are what a worker counts. Every label comes from a list above.
type metrics struct {
	messages     *prometheus.CounterVec
	redeliveries prometheus.Counter
	damaged      prometheus.Counter
	batches      *prometheus.CounterVec
	rows         prometheus.Counter
	refused      prometheus.Counter
	errors       *prometheus.CounterVec
	answerErrors *prometheus.CounterVec
	fetchErrors  prometheus.Counter

	gatherMessages prometheus.Histogram
	gatherBytes    prometheus.Histogram
	gatherAge      prometheus.Histogram
	loadDuration   prometheus.Histogram
	lag            prometheus.Histogram
	lagNow         prometheus.Gauge
	inHand         prometheus.Gauge
	troubled       *prometheus.GaugeVec
}

// Names share one prefix.
const (
	namespace = "nexero"
	subsystem = "worker"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		messages:     counters("messages_total", "Messages taken out of or given back to the queue, by what became of them.", "outcome"),
		redeliveries: counter("redeliveries_total", "Messages that the queue had delivered before."),
		damaged:      counter("damaged_messages_total", "Messages met that no build can read."),
		batches:      counters("batches_total", "Batches of the loads that committed, by what the ledger said.", "result"),
		rows:         counter("rows_loaded_total", "Events stored."),
		refused:      counter("rows_refused_total", "Events that the edge accepted and the database did not."),
		errors:       counters("write_errors_total", "Writes that failed, by what was written and what to do about it.", "write", "class"),
		answerErrors: counters("answer_errors_total", "Answers that could not be sent to the queue; each costs a redelivery.", "answer"),
		fetchErrors:  counter("fetch_errors_total", "Fetches that failed."),

		gatherMessages: histogram("gather_messages", "Messages in a gather.", prometheus.ExponentialBuckets(1, 2, 11)),
		gatherBytes:    histogram("gather_bytes", "Bytes in a gather.", prometheus.ExponentialBuckets(1<<10, 4, 9)),
		gatherAge:      histogram("gather_age_seconds", "Time from the first message of a gather to its end.", prometheus.ExponentialBuckets(.001, 2, 11)),
		loadDuration:   histogram("load_duration_seconds", "Time of a load, failed ones included.", prometheus.ExponentialBuckets(.001, 2, 15)),
		lag:            histogram("lag_seconds", "Age in the queue of the oldest message of a load at its commit.", prometheus.ExponentialBuckets(.005, 4, 12)),
		lagNow:         gauge("lag_now_seconds", "Age in the queue of the oldest message of the latest load; 0 when the queue is empty."),
		inHand:         gauge("messages_in_hand", "Messages fetched and not yet answered."),
		troubled: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "loops_in_trouble",
			Help: "Loops that do not work, by why.",
		}, []string{"trouble"}),
	}
	for t := range troubles {
		m.troubled.WithLabelValues(t.String()) // 0 from the start: an alert needs a series
	}
	for _, c := range []prometheus.Collector{
		m.messages, m.redeliveries, m.damaged, m.batches, m.rows, m.refused, m.errors, m.answerErrors, m.fetchErrors,
		m.gatherMessages, m.gatherBytes, m.gatherAge, m.loadDuration, m.lag, m.lagNow, m.inHand, m.troubled,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
	})
}

// loaded counts what a load did.
func (m *metrics) loaded(r Result) {
	m.batches.WithLabelValues(batchNew).Add(float64(r.Batches))
	m.batches.WithLabelValues(batchRepeat).Add(float64(r.Repeats))
	m.batches.WithLabelValues(batchRedelivered).Add(float64(r.Redelivered))
	m.batches.WithLabelValues(batchReused).Add(float64(r.Reused))
	m.rows.Add(float64(r.Rows))
	m.refused.Add(float64(r.Refused))
}
