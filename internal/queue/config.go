package queue

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Purpose says what a connection is for. It decides how the connection behaves
// while the server is away and is a label of its metrics.
type Purpose string

// The purposes of a connection.
const (
	// Publisher fails at once while disconnected, so that a client hears 503
	// now instead of waiting for a buffer.
	Publisher Purpose = "publisher"
	// Consumer keeps acknowledgements made while disconnected and sends them
	// after the reconnect.
	Consumer Purpose = "consumer"
	// Operator is a command that looks, or makes what is missing. It changes no
	// settings of what exists.
	Operator Purpose = "operator"
)

// Defaults of [Config].
const (
	DefaultMaxBytes       = 8 << 30
	DefaultAckWait        = 30 * time.Second
	DefaultRequestTimeout = 5 * time.Second
	DefaultName           = "nexero"
)

// Config says where the queue is and how large it may become. The zero value
// of every field but URL means its default.
type Config struct {
	// URL of one server, or of several separated by commas. It may hold
	// credentials and is never logged.
	URL string
	// CredsFile is a NATS credentials file (JWT and seed); empty for none.
	CredsFile string
	// Name is what the server's operators see; default "nexero".
	Name string
	// Replicas of everything stored: 1 (default) or 3. Provision raises the
	// replicas of what exists, and never lowers them.
	Replicas int
	// MaxBytes is what the stream may hold, in bytes; default 8 GiB. It must
	// leave room for the key bucket in the server's store.
	MaxBytes int64
	// AckWait is how long a delivered message may stay unanswered before it is
	// delivered again; default 30 s.
	AckWait time.Duration
	// RequestTimeout bounds every exchange with the server whose context has no
	// earlier deadline; default 5 s.
	RequestTimeout time.Duration
	// SetupPatience is how long Provision and Keys wait for a queue that is
	// reached and cannot be set up now, such as a cluster without a leader;
	// default until their context ends.
	SetupPatience time.Duration
	// LargestMessage is the size in bytes of the largest message this process
	// will publish. Ready fails while the server's max_payload is smaller.
	LargestMessage int64
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.AckWait == 0 {
		c.AckWait = DefaultAckWait
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	return c
}

// validate reports everything that is wrong at once. It never repeats the URL,
// which may hold a password.
func (c Config) validate() error {
	var errs []error
	for one := range strings.SplitSeq(c.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err != nil || (u.Host == "" && u.Path == "") {
			errs = append(errs, errors.New("nats url is malformed"))
		}
	}
	if c.Replicas != 1 && c.Replicas != 3 {
		errs = append(errs, fmt.Errorf("replicas must be 1 or 3, not %d", c.Replicas))
	}
	for _, limit := range []struct {
		name  string
		value int64
		least int64
	}{
		{"max bytes", c.MaxBytes, 1 << 20},
		{"ack wait", int64(c.AckWait), int64(time.Second)},
		{"request timeout", int64(c.RequestTimeout), int64(time.Millisecond)},
		{"largest message", c.LargestMessage, 0},
	} {
		if limit.value < limit.least {
			errs = append(errs, fmt.Errorf("%s must be at least %d, not %d", limit.name, limit.least, limit.value))
		}
	}
	return errors.Join(errs...)
}
