package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of routes that the guard itself knows; the service's others are in
// [Options.Routes].
const (
	// RouteLive is the liveness probe's: it is answered on connections beyond
	// the limit too. An orchestrator that took a busy server for a dead one would
	// make things worse.
	RouteLive = "livez"
	// RoutePreflight is that of browsers asking whether a page may call.
	RoutePreflight = "preflight"
	// RouteOther is that of every path which is none. A path that a client made
	// up is never a label.
	RouteOther = "other"
)

// Deps are what a guard needs from others. All are required.
type Deps struct {
	// Authenticate names the tenant and the id of a key that may do what the
	// service does. It is called for every request with a key and answers from
	// memory. Its errors are those of internal/apikey.
	Authenticate func(key string) (tenant, keyID string, err error)
	// Log gets one line per request at debug, and every 5xx problem at warn.
	Log *slog.Logger
	// Registerer gets the metrics, nexero_<service>_...
	Registerer prometheus.Registerer
	// Panics counts panics that were caught, here and elsewhere in the service.
	Panics prometheus.Counter
	// Now is the clock of rates and failures.
	Now func() time.Time
}

// Options say how strict a guard is, and what it calls things.
type Options struct {
	Exposure

	// Rates bound how fast clients may send.
	Rates Rates
	// LargestBody is the most bytes that a request's body can have, inflated. At
	// 0 requests have none, and bytes are not measured.
	LargestBody int64
	// AnonymousTenant is whose a request without a key is; empty refuses it.
	AnonymousTenant string

	// Service is the middle of the metrics' names and the beginning of errors.
	Service string
	// Routes are the names of all routes but the guard's own.
	Routes []string
	// Kinds are the refusals that only this service has, by code.
	Kinds map[string]Kind
	// Methods and Headers are what pages of CORSOrigins may use.
	Methods, Headers []string
	// Wording is how the service is spoken of.
	Wording Wording
}

// Wording is the part of refusals that differs from service to service.
type Wording struct {
	// Action is what a key needs the right to, as in "may not read".
	Action string
	// Assurance says what a refusal left behind, such as "Nothing is stored. ",
	// with a space behind it; empty where that goes without saying.
	Assurance string
	// Again is what to send again, such as "the same bytes".
	Again string
}

// Guard is one service's gate. It is safe for concurrent use.
type Guard struct {
	deps    Deps
	options Options
	kinds   map[string]Kind
	metrics *metrics
	limits  atomic.Pointer[limits]
	sources sources
}

// New makes a guard and registers its metrics. The error lists every option
// that makes no sense.
func New(deps Deps, options Options) (*Guard, error) {
	if deps.Authenticate == nil || deps.Log == nil || deps.Registerer == nil || deps.Panics == nil || deps.Now == nil {
		return nil, errors.New("gate: a dependency is missing")
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	g := &Guard{deps: deps, options: options, kinds: options.allKinds(), sources: newSources(options.TrustedProxies)}
	var err error
	if g.metrics, err = newMetrics(deps.Registerer, &options, g.kinds); err != nil {
		return nil, fmt.Errorf("gate: register metrics: %w", err)
	}
	if err := g.SetRates(options.Rates); err != nil {
		return nil, fmt.Errorf("gate: measure clients: %w", err)
	}
	return g, nil
}

// Validate reports every bound that makes no sense, all at once.
func (o *Options) Validate() error {
	return errors.Join(o.Exposure.Validate(), o.Rates.validate(o.LargestBody))
}
