package queue

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names on the server. They are part of the contract with operators: alarms,
// backups and permissions refer to them.
const (
	// StreamName is the stream of envelopes.
	StreamName = "EVENTS"
	// Subject is what ingest publishes to.
	Subject = "nexero.events"
	// ConsumerName is the durable consumer that all workers share.
	ConsumerName = "loader"
	// KeyBucket is the bucket of API keys.
	KeyBucket = "api_keys"
	// SessionBucket is the bucket of what is known of sessions under way.
	SessionBucket = "session_state"

	keyStream      = "KV_" + KeyBucket
	keySubject     = "$KV." + KeyBucket + ".>"
	sessionStream  = "KV_" + SessionBucket
	sessionSubject = "$KV." + SessionBucket + ".>"
)

const (
	// duplicateWindow is how long the server remembers message ids: long enough
	// for the retries of one request, short enough to cost no memory.
	duplicateWindow = 2 * time.Minute

	// keyBytes is reserved for the key bucket. Reserved bytes cannot be taken
	// by EVENTS, so keys can be made and revoked while the queue is full.
	keyBytes = 32 << 20
	// keyHistory keeps a key's earlier records for whoever asks when it changed.
	keyHistory = 5
	// keyRecordBytes bounds one record.
	keyRecordBytes = 16 << 10

	// sessionAge is how long a session is known after its last sign of life.
	sessionAge = 7 * 24 * time.Hour
	// sessionRecordBytes bounds what is known of one session.
	sessionRecordBytes = 1 << 10

	// maxAckPending bounds what all workers together hold unacknowledged. At
	// this bound the consumer stalls for everybody, so it lies far above what
	// dozens of workers gather.
	maxAckPending = 20_000
)

// eventStream is the queue proper.
//
// DenyDelete and DenyPurge stay off on purpose. They can never be switched off
// again, and an operator who cannot remove one poisonous message by hand would
// have to remove the whole stream. Nothing in Nexero deletes or purges.
func eventStream(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:         StreamName,
		Description:  "Nexero envelopes that are accepted and not yet loaded",
		Subjects:     []string{Subject},
		Retention:    jetstream.WorkQueuePolicy,
		Storage:      jetstream.FileStorage,
		Discard:      jetstream.DiscardNew,
		Replicas:     cfg.Replicas,
		MaxBytes:     cfg.MaxBytes,
		MaxMsgs:      -1,
		MaxMsgSize:   -1,
		MaxConsumers: -1,
		Duplicates:   duplicateWindow,
	}
}

// keyBucketStream is the stream beneath the key bucket, with the settings that
// the client library would choose but for AllowDirect: direct reads are
// answered by any replica, may be stale, and would show a revoked key as valid.
func keyBucketStream(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              keyStream,
		Description:       "Nexero API keys, hashed",
		Subjects:          []string{keySubject},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		Replicas:          cfg.Replicas,
		MaxBytes:          keyBytes,
		MaxMsgs:           -1,
		MaxMsgSize:        keyRecordBytes,
		MaxConsumers:      -1,
		MaxMsgsPerSubject: keyHistory,
		Duplicates:        duplicateWindow,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       false,
	}
}

// sessionBucketStream is the stream beneath the bucket of session states. When
// it is full the oldest state goes: a session that nobody has heard of for the
// longest time is the one that nobody asks about, and new ones must be found.
// Direct reads are off, so that what one replica wrote every replica reads.
func sessionBucketStream(cfg Config, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              sessionStream,
		Description:       "Nexero sessions under way: their times, by hashed id",
		Subjects:          []string{sessionSubject},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		Replicas:          cfg.Replicas,
		MaxBytes:          maxBytes,
		MaxAge:            sessionAge,
		MaxMsgs:           -1,
		MaxMsgSize:        sessionRecordBytes,
		MaxConsumers:      -1,
		MaxMsgsPerSubject: 1,
		Duplicates:        duplicateWindow,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       false,
	}
}

// loader is the consumer. It never gives up on a message: deciding that one is
// damaged is the worker's business.
func loader(cfg Config) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       ConsumerName,
		Description:   "Nexero workers",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}
