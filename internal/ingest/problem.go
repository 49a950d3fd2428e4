package ingest

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/unreal"
)

// Codes of the answers that refuse a request. Clients may rely on them; a body
// that the decoder could not read has the decoder's own, more exact code.
const (
	codeMissingKey          = "missing_key"
	codeMalformedKey        = "malformed_key"
	codeUnknownKey          = "unknown_key"
	codeRevokedKey          = "revoked_key"
	codeInsufficientScope   = "insufficient_scope"
	codeKeysUnavailable     = "keys_unavailable"
	codeNotFound            = "not_found"
	codeUnknownSession      = "unknown_session"
	codeSessionsUnavailable = "sessions_unavailable"
	codeMethodNotAllowed    = "method_not_allowed"
	codeBodyTimeout         = "body_timeout"
	codeBodyInterrupted     = "body_interrupted"
	codeBodyTooLarge        = "body_too_large"
	codeTooManyEvents       = unreal.CodeTooManyEvents
	codeUnsupportedEncoding = "unsupported_encoding"
	codeBrokenEncoding      = "broken_encoding"
	codeUnreadableBody      = "unreadable_body"
	codeOverloaded          = "overloaded"
	codeQueueFull           = "queue_full"
	codeQueueRefusesSize    = "queue_refuses_size"
	codeNotConfirmed        = "not_confirmed"
	codeStopping            = "stopping"
	codeInternal            = "internal"

	codeKeyRequests        = "key_request_rate"
	codeKeyBytes           = "key_byte_rate"
	codeAddressRequests    = "address_request_rate"
	codeAddressBytes       = "address_byte_rate"
	codeFailedKeys         = "failed_key_rate"
	codeTooManyHeaders     = "too_many_headers"
	codeTooManyConnections = "too_many_connections"
)

// problemKind is what all problems of one code have in common.
type problemKind struct {
	status int
	title  string
	// retryAfter is in seconds. Every 503 has it: VR clients do not back off by
	// themselves.
	retryAfter int
}

// problemKinds is the closed list of refusals, and with it of the metric's
// label. 422 is not in it: clients of the first version take it for "never
// send this again" and throw events away that could be accepted.
//
//nolint:gochecknoglobals // a table that never changes
var problemKinds = map[string]problemKind{
	codeMissingKey:          {401, "API key missing", 0},
	codeMalformedKey:        {401, "API key malformed", 0},
	codeUnknownKey:          {401, "API key unknown", 0},
	codeRevokedKey:          {401, "API key revoked", 0},
	codeInsufficientScope:   {403, "API key may not do this", 0},
	codeKeysUnavailable:     {503, "API keys cannot be checked", 5},
	codeNotFound:            {404, "No such path", 0},
	codeUnknownSession:      {404, "No such session", 0},
	codeSessionsUnavailable: {503, "Sessions cannot be looked up", 5},
	codeMethodNotAllowed:    {405, "Method not allowed", 0},
	codeBodyTimeout:         {408, "Body took too long", 0},
	codeBodyInterrupted:     {400, "Body ended early", 0},
	codeBodyTooLarge:        {413, "Body too large", 0},
	codeTooManyEvents:       {413, "Too many events", 0},
	codeUnsupportedEncoding: {415, "Content encoding not supported", 0},
	codeBrokenEncoding:      {400, "Compressed body broken", 0},
	codeUnreadableBody:      {400, "Body cannot be read", 0},
	codeOverloaded:          {503, "Too busy", 1},
	codeQueueFull:           {503, "Queue full", 30},
	codeQueueRefusesSize:    {503, "Queue misconfigured", 30},
	codeNotConfirmed:        {503, "Not confirmed in time", 1},
	codeStopping:            {503, "Server is stopping", 2},
	codeInternal:            {500, "Internal error", 0},

	// How long to wait follows from the rate.
	codeKeyRequests:     {429, "Too many requests for this key", 1},
	codeKeyBytes:        {429, "Too many bytes for this key", 1},
	codeAddressRequests: {429, "Too many requests from this address", 1},
	codeAddressBytes:    {429, "Too many bytes from this address", 1},
	codeFailedKeys:      {429, "Too many wrong keys from this address", 1},

	codeTooManyHeaders:     {431, "Too many header fields", 0},
	codeTooManyConnections: {503, "Too many connections", 2},
}

// problemType precedes the code in the member type. It names the kind of
// problem and is no address to fetch.
const problemType = "urn:nexero:problem:"

// problem is a refusal on its way to the client.
type problem struct {
	kind string
	// code is kind, or the decoder's own code when that is more exact.
	code         string
	detail       string
	fields       []fieldProblem
	receivedKeys []string
	// wait is how long the client should wait, when that is more than what
	// problems of this kind say anyway.
	wait time.Duration
	// cause is for the log, never for the client. It must not hold a key, an
	// address or a part of a body; errors of reading from a connection do.
	cause error
}

// fieldProblem is one member of the body that is at fault.
type fieldProblem struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	// Offset is the position in the inflated body, in bytes.
	Offset int64 `json:"offset"`
}

func refused(code, detail string) *problem {
	return &problem{kind: code, code: code, detail: detail}
}

// because adds the reason for the log.
func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

func (p *problem) Unwrap() error { return p.cause }

// problemBody is the answer's shape: RFC 9457 with the members that the two
// generations of old clients look for, detail as a string and message.
type problemBody struct {
	Type          string         `json:"type"`
	Title         string         `json:"title"`
	Status        int            `json:"status"`
	Detail        string         `json:"detail"`
	Code          string         `json:"code"`
	CorrelationID string         `json:"correlation_id"`
	Errors        []fieldProblem `json:"errors"`
	Message       string         `json:"message"`
	ReceivedKeys  []string       `json:"received_keys,omitempty"`
}

// refuse answers with err's problem, or 500 when err is none.
//
// The content type is application/json and not application/problem+json:
// clients that decide by it whether to parse an answer know only the former,
// and the code that a person needs would be lost on them.
func (s *Server) refuse(x *exchange, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = refused(codeInternal, "Something went wrong here. Send the same request again later.").because(err)
	}
	x.leaveUnread()
	kind := problemKinds[p.kind]
	s.metrics.problems[p.kind].Inc()
	x.problem = p
	header := x.response.Header()
	if kind.retryAfter > 0 {
		wait := max(kind.retryAfter, int(math.Ceil(p.wait.Seconds())))
		header.Set("Retry-After", strconv.Itoa(wait))
	}
	switch kind.status {
	case 401:
		header.Set("Www-Authenticate", `Bearer realm="nexero"`)
	case 415:
		header.Set("Accept-Encoding", "gzip, zstd")
	}
	fields := p.fields
	if fields == nil {
		fields = []fieldProblem{}
	}
	body, err := json.Marshal(problemBody{
		Type: problemType + p.code, Title: kind.title, Status: kind.status,
		Detail: p.detail, Message: p.detail, Code: p.code, CorrelationID: x.correlationID,
		Errors: fields, ReceivedKeys: p.receivedKeys,
	})
	if err != nil {
		// Cannot be: the body is strings and numbers.
		body = []byte(`{"status":500,"code":"internal","detail":"","message":""}`)
	}
	x.write(kind.status, body)
}

// Bounds of what answers and stored reasons quote from a request.
const (
	maxReceivedKeys = 50
	maxKeyBytes     = 100
	maxDetailBytes  = 1000
)

// quotable cuts s to about most bytes and makes it text that JSON and
// PostgreSQL can hold.
func quotable(s string, most int) string {
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
