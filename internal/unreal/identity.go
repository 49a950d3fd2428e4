package unreal

import (
	"net/url"
	"slices"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// What a batch's id is made of. The words keep the kinds apart; they and the
// parts behind them are part of every id ever made, so they never change.
const (
	idFromKey     = "idempotency_key"
	idFromBatchID = "batch_id"
	idFromContent = "content"
	idFromReceipt = "receipt"
	idOfSession   = "session_of_post"
)

// identity returns the id of a tracking batch, from the best that there is: the
// client's Idempotency-Key, its batch_id within the session, or its content.
// before and after are the body around the events, whose digest stands for
// them: so the events are hashed once.
//
// Events whose times prove nothing get an id of their own: two equal packets can
// then both be real, and a repeat cannot be told from them.
func (d *decoding) identity(req *Request, before, after string) event.UUID {
	digest := d.batch.Digest
	switch {
	case req.IdempotencyKey != "":
		return event.NameUUID(idFromKey, req.Tenant, string(req.Endpoint), req.IdempotencyKey)
	case d.batchID != "":
		return event.NameUUID(idFromBatchID, req.Tenant, string(req.Endpoint), d.sessionForID(), d.batchID)
	case d.eventsRead() > 0 && !d.fine:
		return event.NameUUID(idFromReceipt, req.Tenant, string(req.Endpoint), string(req.ReceiptID[:]))
	}
	return event.NameUUID(idFromContent, req.Tenant, string(req.Endpoint), req.Query, before, string(digest[:]), after)
}

// eventsRead returns the number of elements of events.
func (d *decoding) eventsRead() int { return len(d.batch.Events) + len(d.batch.Rejected) }

// sessionForID names the session that a batch_id counts in: the batch's, else
// the first one that an event names. It must not depend on which events were
// accepted: a repeat may be judged differently.
func (d *decoding) sessionForID() string {
	text := d.session
	if unsetSession(text) {
		text = d.firstSession
	}
	if id, ok := event.NormaliseSessionID(text); ok {
		return id
	}
	return text
}

// unsetSession reports whether a text is an id that was never set: none at all,
// an all-zero GUID, empty braces.
func unsetSession(text string) bool {
	if text == "" {
		return true
	}
	id, ok := event.NormaliseSessionID(text)
	return !ok && (id != "" || strings.Trim(text, " \t\r\n{}()") == "")
}

// credentials are the parameters that carry keys, without case and separators.
var credentials = []string{ //nolint:gochecknoglobals // a table that never changes
	"accesstoken", "apikey", "apisecret", "appid", "auth", "authorization", "authtoken", "bearer",
	"clientsecret", "jwt", "key", "password", "secret", "sig", "signature", "token", "xapikey", "xapitoken",
}

// CanonicalQuery returns a query for a batch's identity: parameters sorted by
// name, values of one name in the order of the request, and without the ones
// that carry credentials. A retry with a rotated key is still the same batch,
// and no key gets near anything that is stored.
func CanonicalQuery(query url.Values) string {
	kept := make(url.Values, len(query))
	for name, values := range query {
		folded := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(credentials, folded) {
			kept[name] = values
		}
	}
	return kept.Encode() // sorts by name
}

// memberName returns the text of a member's name.
func memberName(content string, m marks) string {
	if m&markEscape != 0 {
		return unescape(content)
	}
	return content
}

// sessionIdentity returns the id of a session post. A post that names its
// session is a statement about it, which can be repeated; one that does not
// makes a session, so its times must prove that it is the same.
func (d *decoding) sessionIdentity(req *Request, r *sessionReading, named bool) event.UUID {
	d.session = r.session
	switch {
	case req.IdempotencyKey != "":
		return event.NameUUID(idFromKey, req.Tenant, string(req.Endpoint), req.IdempotencyKey)
	case d.batchID != "":
		return event.NameUUID(idFromBatchID, req.Tenant, string(req.Endpoint), d.sessionForID(), d.batchID)
	case !named && !r.fine:
		return event.NameUUID(idFromReceipt, req.Tenant, string(req.Endpoint), string(req.ReceiptID[:]))
	}
	return event.NameUUID(idFromContent, req.Tenant, string(req.Endpoint), req.Query, d.text)
}
