package gate

import (
	"errors"
	"net/http"
	"strings"

	"github.com/nexero-vr/nexero/internal/apikey"
)

// howToSendKey is part of every answer that refuses a key.
const howToSendKey = "Send the key in the header X-API-Key or as Authorization: Bearer; a key in the address is not read."

// credential finds the key that a request carries. present says that the
// client tried to send one, even in a form in which it cannot be used.
func credential(header http.Header) (key string, present bool) {
	if key = strings.TrimSpace(header.Get("X-Api-Key")); key != "" {
		return key, true
	}
	authorization := strings.TrimSpace(header.Get("Authorization"))
	if authorization == "" {
		return "", false
	}
	scheme, key, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", true
	}
	return strings.TrimSpace(key), true
}

// Authenticate names the tenant that a request acts for, and measures how many
// it and its like have sent. Every route that is not for everybody begins with
// it. The error is a [Problem].
func (g *Guard) Authenticate(x *Exchange) error {
	x.source = g.sources.of(x.Request)
	if err := g.identify(x); err != nil {
		return err
	}
	return g.measure(x)
}

// identify finds the key and whose it is.
func (g *Guard) identify(x *Exchange) error {
	key, present := credential(x.Request.Header)
	switch {
	case present && key == "":
		return Refused(MalformedKey, "The Authorization header holds no bearer key. "+howToSendKey)
	case present:
	case g.options.AnonymousTenant != "":
		x.Tenant = g.options.AnonymousTenant
		return nil
	default:
		return Refused(MissingKey, "The request has no API key. "+howToSendKey)
	}
	// A flood of wrong keys must not cost a hash each.
	failures, now := g.limits.Load().failures, g.deps.Now()
	if wait := failures.blocked(x.source, key, now); wait > 0 {
		p := Refused(FailedKeys, "Too many wrong API keys came from this address. "+g.options.Wording.Assurance+
			"Send the request with a valid key after the time in Retry-After; other replicas count for themselves.")
		p.Wait = wait
		return p
	}
	tenant, keyID, err := g.deps.Authenticate(key)
	switch {
	case errors.Is(err, apikey.ErrMalformed), errors.Is(err, apikey.ErrUnknown), errors.Is(err, apikey.ErrRevoked):
		failures.failed(x.source, key, now)
	case err == nil:
		failures.succeeded(key)
	}
	switch {
	case err == nil:
		x.Tenant, x.KeyID = tenant, keyID
		return nil
	case errors.Is(err, apikey.ErrMalformed):
		return Refused(MalformedKey, "The API key is mistyped or cut off. "+howToSendKey)
	case errors.Is(err, apikey.ErrUnknown):
		return Refused(UnknownKey, "There is no such API key.")
	case errors.Is(err, apikey.ErrExpired):
		return Refused(RevokedKey, "The API key has ended: another took its place.")
	case errors.Is(err, apikey.ErrRevoked):
		return Refused(RevokedKey, "The API key was revoked.")
	case errors.Is(err, apikey.ErrScope):
		return Refused(InsufficientScope, "The API key may not "+g.options.Wording.Action+".")
	default:
		// Whatever it is, a valid key must not be told that it is none.
		return Refused(KeysUnavailable, "API keys cannot be checked at the moment. Send the same request again.").Because(err)
	}
}
