package gate

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strconv"
	"time"
)

// Codes of the answers that refuse a request for a reason that every service
// has. Clients may rely on them.
const (
	MissingKey         = "missing_key"
	MalformedKey       = "malformed_key"
	UnknownKey         = "unknown_key"
	RevokedKey         = "revoked_key"
	InsufficientScope  = "insufficient_scope"
	KeysUnavailable    = "keys_unavailable"
	NotFound           = "not_found"
	MethodNotAllowed   = "method_not_allowed"
	UnknownSession     = "unknown_session"
	Overloaded         = "overloaded"
	Internal           = "internal"
	KeyRequests        = "key_request_rate"
	KeyBytes           = "key_byte_rate"
	AddressRequests    = "address_request_rate"
	AddressBytes       = "address_byte_rate"
	FailedKeys         = "failed_key_rate"
	TooManyHeaders     = "too_many_headers"
	TooManyConnections = "too_many_connections"
)

// Kind is what all problems of one code have in common.
type Kind struct {
	Status int
	Title  string
	// RetryAfter is in seconds. Every 503 has it: VR clients do not back off by
	// themselves.
	RetryAfter int
}

// commonKinds are the refusals that every service has. 422 is not among them:
// clients of the first version take it for "never send this again" and throw
// events away that could be accepted.
//
//nolint:gochecknoglobals // a table that never changes
var commonKinds = map[string]Kind{
	MissingKey:        {401, "API key missing", 0},
	MalformedKey:      {401, "API key malformed", 0},
	UnknownKey:        {401, "API key unknown", 0},
	RevokedKey:        {401, "API key revoked", 0},
	InsufficientScope: {403, "API key may not do this", 0},
	KeysUnavailable:   {503, "API keys cannot be checked", 5},
	NotFound:          {404, "No such path", 0},
	MethodNotAllowed:  {405, "Method not allowed", 0},
	UnknownSession:    {404, "No such session", 0},
	Overloaded:        {503, "Too busy", 1},
	Internal:          {500, "Internal error", 0},

	// How long to wait follows from the rate.
	KeyRequests:     {429, "Too many requests for this key", 1},
	AddressRequests: {429, "Too many requests from this address", 1},
	FailedKeys:      {429, "Too many wrong keys from this address", 1},

	TooManyHeaders:     {431, "Too many header fields", 0},
	TooManyConnections: {503, "Too many connections", 2},
}

// byteKinds are those of services whose requests have bodies.
//
//nolint:gochecknoglobals // a table that never changes
var byteKinds = map[string]Kind{
	KeyBytes:     {429, "Too many bytes for this key", 1},
	AddressBytes: {429, "Too many bytes from this address", 1},
}

// allKinds is the closed list of a service's refusals, and with it of the
// metric's label.
func (o *Options) allKinds() map[string]Kind {
	all := maps.Clone(commonKinds)
	if o.LargestBody > 0 {
		maps.Copy(all, byteKinds)
	}
	maps.Copy(all, o.Kinds)
	return all
}

// problemType precedes the code in the member type. It names the kind of
// problem and is no address to fetch.
const problemType = "urn:nexero:problem:"

// Problem is a refusal on its way to the client, and an error until then.
type Problem struct { //nolint:errname // RFC 9457 calls it so, and so do answers and metrics
	// Kind is the code of its [Kind].
	Kind string
	// Code is Kind, or a more exact code of the service's own.
	Code         string
	Detail       string
	Fields       []Field
	ReceivedKeys []string
	// Wait is how long the client should wait, when that is more than what
	// problems of this kind say anyway.
	Wait time.Duration
	// Cause is for the log, never for the client. It must not hold a key, an
	// address or a part of a body; errors of reading from a connection do.
	Cause error
}

// Field is one member of a body, or one parameter of an address, that is at
// fault.
type Field struct {
	Name   string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	// Offset is the position in the inflated body, in bytes; nil without one.
	Offset *int64 `json:"offset,omitempty"`
}

// Refused makes a refusal of a kind.
func Refused(kind, detail string) *Problem {
	return &Problem{Kind: kind, Code: kind, Detail: detail}
}

// Because adds the reason for the log.
func (p *Problem) Because(err error) *Problem {
	p.Cause = err
	return p
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

func (p *Problem) Unwrap() error { return p.Cause }

// problemBody is the answer's shape: RFC 9457 with the members that the two
// generations of old clients look for, detail as a string and message.
type problemBody struct {
	Type          string   `json:"type"`
	Title         string   `json:"title"`
	Status        int      `json:"status"`
	Detail        string   `json:"detail"`
	Code          string   `json:"code"`
	CorrelationID string   `json:"correlation_id"`
	Errors        []Field  `json:"errors"`
	Message       string   `json:"message"`
	ReceivedKeys  []string `json:"received_keys,omitempty"`
}

// Refuse answers with err's problem, or 500 when err is none.
//
// The content type is application/json and not application/problem+json:
// clients that decide by it whether to parse an answer know only the former,
// and the code that a person needs would be lost on them.
func (g *Guard) Refuse(x *Exchange, err error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		p = Refused(Internal, "Something went wrong here. Send the same request again later.").Because(err)
	}
	x.leaveUnread()
	kind := g.kinds[p.Kind]
	g.metrics.problems[p.Kind].Inc()
	x.Problem = p
	header := x.Response.Header()
	if kind.RetryAfter > 0 {
		wait := max(kind.RetryAfter, int(math.Ceil(p.Wait.Seconds())))
		header.Set("Retry-After", strconv.Itoa(wait))
	}
	if kind.Status == 401 {
		header.Set("Www-Authenticate", `Bearer realm="nexero"`)
	}
	fields := p.Fields
	if fields == nil {
		fields = []Field{}
	}
	body, err := json.Marshal(problemBody{
		Type: problemType + p.Code, Title: kind.Title, Status: kind.Status,
		Detail: p.Detail, Message: p.Detail, Code: p.Code, CorrelationID: x.CorrelationID,
		Errors: fields, ReceivedKeys: p.ReceivedKeys,
	})
	if err != nil {
		// Cannot be: the body is strings and numbers.
		body = []byte(`{"status":500,"code":"internal","detail":"","message":""}`)
	}
	x.Write(kind.Status, body)
}
