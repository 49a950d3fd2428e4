package config

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Rates are how often clients may ask, to post and to read. They protect one replica and are no
// quota: every replica counts for itself. None can be switched off, since a
// limit that nobody reaches costs nothing.
type Rates struct {
	KeyRequests     int           `name:"key_requests_per_second" default:"1000" min:"1" max:"1000000" reload:"true" help:"Requests a second for one API key, on each replica."`
	AddressRequests int           `name:"address_requests_per_second" default:"100" min:"1" max:"1000000" reload:"true" help:"Requests a second for one API key from one client address (IPv6: from one /64), on each replica."`
	Burst           time.Duration `name:"rate_burst" default:"10s" min:"1s" max:"5m" reload:"true" help:"What may come at once after a pause, as the time in which it could have come evenly."`
	AuthFailures    int           `name:"auth_failures_per_minute" default:"30" min:"1" max:"1000000" reload:"true" help:"Wrong API keys a minute from one client address until further keys from there are refused unread; keys that were right before are not."`
	Remembered      int           `name:"remembered_clients" default:"20000" min:"100" max:"10000000" reload:"true" help:"Pairs of key and client address whose use is remembered; the one idle longest is forgotten first."`
	HighKeys        []string      `name:"high_rate_keys" reload:"true" help:"Ids of API keys with higher rates, for tools of one's own such as replay."`
	HighFactor      int           `name:"high_rate_factor" default:"100" min:"1" max:"100000" reload:"true" help:"How many times as fast a key of high_rate_keys may send."`
}

// Validate reports rates that contradict each other.
func (r *Rates) Validate() error {
	if r.AddressRequests > r.KeyRequests {
		return fmt.Errorf("%s is %d, above %s with %d",
			title("address_requests_per_second"), r.AddressRequests, title("key_requests_per_second"), r.KeyRequests)
	}
	return nil
}

// ByteRates are how much clients may send in bodies, beside how often.
type ByteRates struct {
	Key     Bytes `name:"key_bytes_per_second" default:"32MiB" min:"1KiB" max:"1TiB" reload:"true" help:"Bytes of inflated bodies a second for one API key, on each replica."`
	Address Bytes `name:"address_bytes_per_second" default:"8MiB" min:"1KiB" max:"1TiB" reload:"true" help:"Bytes of inflated bodies a second for one API key from one client address, on each replica."`
}

// check reports rates that contradict each other or the size of a body.
func (b *ByteRates) check(r *Rates, i *Intake) error {
	var errs []error
	if b.Address > b.Key {
		errs = append(errs, fmt.Errorf("%s is %s, above %s with %s",
			title("address_bytes_per_second"), b.Address, title("key_bytes_per_second"), b.Key))
	}
	// The largest body must pass some time.
	if float64(b.Address)*r.Burst.Seconds() < float64(i.InflatedBytes) {
		errs = append(errs, fmt.Errorf("%s with %s of %s is less than one body of %s, which is %s",
			title("address_bytes_per_second"), r.Burst, title("rate_burst"), title("max_inflated_bytes"), i.InflatedBytes))
	}
	if float64(b.Key)*r.Burst.Seconds()*float64(r.HighFactor) > math.MaxInt64/2 {
		errs = append(errs, fmt.Errorf("%s is too high a multiple of %s", title("high_rate_factor"), title("key_bytes_per_second")))
	}
	return errors.Join(errs...)
}
