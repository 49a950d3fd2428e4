package query

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Codes of the answers that refuse a request. Clients may rely on them; those
// that the edge has too mean the same there.
const (
	codeMissingKey          = "missing_key"
	codeMalformedKey        = "malformed_key"
	codeUnknownKey          = "unknown_key"
	codeRevokedKey          = "revoked_key"
	codeInsufficientScope   = "insufficient_scope"
	codeKeysUnavailable     = "keys_unavailable"
	codeNotFound            = "not_found"
	codeMethodNotAllowed    = "method_not_allowed"
	codeInvalidParameter    = "invalid_parameter"
	codeInvalidCursor       = "invalid_cursor"
	codeUnknownSession      = "unknown_session"
	codeOverloaded          = "overloaded"
	codeDatabaseUnavailable = "database_unavailable"
	codeTookTooLong         = "took_too_long"
	codeInternal            = "internal"
)

// problemKind is what all problems of one code have in common.
type problemKind struct {
	status int
	title  string
	// retryAfter is in seconds. Every 503 has it.
	retryAfter int
}

// problemKinds is the closed list of refusals, and with it of the metric's
// label.
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
	codeMethodNotAllowed:    {405, "Method not allowed", 0},
	codeInvalidParameter:    {400, "Parameter cannot be used", 0},
	codeInvalidCursor:       {400, "Cursor cannot be used", 0},
	codeUnknownSession:      {404, "No such session", 0},
	codeOverloaded:          {503, "Too busy", 1},
	codeDatabaseUnavailable: {503, "Database away", 5},
	codeTookTooLong:         {503, "Read took too long", 5},
	codeInternal:            {500, "Internal error", 0},
}

// problemType precedes the code in the member type. It names the kind of
// problem and is no address to fetch.
const problemType = "urn:nexero:problem:"

// problem is a refusal on its way to the client.
type problem struct {
	code, detail string
	fields       []fieldProblem
	// cause is for the log, never for the client. It must not hold a key.
	cause error
}

// fieldProblem is one parameter that is at fault.
type fieldProblem struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func refused(code, detail string) *problem { return &problem{code: code, detail: detail} }

// badParameter refuses a parameter of the address. What was sent is not quoted.
func badParameter(name, detail string) *problem {
	p := refused(codeInvalidParameter, "The parameter "+name+" "+detail)
	p.fields = []fieldProblem{{Field: name, Code: codeInvalidParameter, Detail: detail}}
	return p
}

// because adds the reason for the log.
func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

func (p *problem) Unwrap() error { return p.cause }

// problemBody is the answer's shape: the edge's.
type problemBody struct {
	Type          string         `json:"type"`
	Title         string         `json:"title"`
	Status        int            `json:"status"`
	Detail        string         `json:"detail"`
	Code          string         `json:"code"`
	CorrelationID string         `json:"correlation_id"`
	Errors        []fieldProblem `json:"errors"`
	Message       string         `json:"message"`
}

// refuse answers with err's problem, or 500 when err is none. The content type
// is application/json for the reason that the edge has.
func (s *Server) refuse(x *exchange, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = refused(codeInternal, "Something went wrong here. Send the same request again later.").because(err)
	}
	kind := problemKinds[p.code]
	s.metrics.problems[p.code].Inc()
	x.problem = p
	header := x.response.Header()
	if kind.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(kind.retryAfter))
	}
	if kind.status == http.StatusUnauthorized {
		header.Set("Www-Authenticate", `Bearer realm="nexero"`)
	}
	fields := p.fields
	if fields == nil {
		fields = []fieldProblem{}
	}
	body, err := json.Marshal(problemBody{
		Type: problemType + p.code, Title: kind.title, Status: kind.status,
		Detail: p.detail, Message: p.detail, Code: p.code, CorrelationID: x.correlationID, Errors: fields,
	})
	if err != nil {
		// Cannot be: the body is strings and numbers.
		body = []byte(`{"status":500,"code":"internal","detail":"","message":""}`)
	}
	x.write(kind.status, body)
}
