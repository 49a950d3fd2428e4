package query

import "github.com/nexero-vr/nexero/internal/gate"

// Codes of the refusals that only the read API has. Clients may rely on them.
const (
	codeInvalidParameter    = "invalid_parameter"
	codeInvalidCursor       = "invalid_cursor"
	codeDatabaseUnavailable = "database_unavailable"
	codeTookTooLong         = "took_too_long"
)

// problemKinds are what problems of these codes have in common.
//
//nolint:gochecknoglobals // a table that never changes
var problemKinds = map[string]gate.Kind{
	codeInvalidParameter:    {Status: 400, Title: "Parameter cannot be used"},
	codeInvalidCursor:       {Status: 400, Title: "Cursor cannot be used"},
	codeDatabaseUnavailable: {Status: 503, Title: "Database away", RetryAfter: 5},
	codeTookTooLong:         {Status: 503, Title: "Read took too long", RetryAfter: 5},
}

// badParameter refuses a parameter of the address. What was sent is not quoted.
func badParameter(name, detail string) *gate.Problem {
	p := gate.Refused(codeInvalidParameter, "The parameter "+name+" "+detail)
	p.Fields = []gate.Field{{Name: name, Code: codeInvalidParameter, Detail: detail}}
	return p
}
