package ingest

import (
	"strings"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// Codes of the refusals that only the intake has. Clients may rely on them; a
// body that the decoder could not read has the decoder's own, more exact code.
const (
	codeSessionsUnavailable = "sessions_unavailable"
	codeBodyTimeout         = "body_timeout"
	codeBodyInterrupted     = "body_interrupted"
	codeBodyTooLarge        = "body_too_large"
	codeTooManyEvents       = unreal.CodeTooManyEvents
	codeUnsupportedEncoding = "unsupported_encoding"
	codeBrokenEncoding      = "broken_encoding"
	codeUnreadableBody      = "unreadable_body"
	codeQueueFull           = "queue_full"
	codeQueueRefusesSize    = "queue_refuses_size"
	codeNotConfirmed        = "not_confirmed"
	codeStopping            = "stopping"
)

// problemKinds are what problems of these codes have in common. No 422, as with
// the guard's own.
//
//nolint:gochecknoglobals // a table that never changes
var problemKinds = map[string]gate.Kind{
	codeSessionsUnavailable: {Status: 503, Title: "Sessions cannot be looked up", RetryAfter: 5},
	codeBodyTimeout:         {Status: 408, Title: "Body took too long"},
	codeBodyInterrupted:     {Status: 400, Title: "Body ended early"},
	codeBodyTooLarge:        {Status: 413, Title: "Body too large"},
	codeTooManyEvents:       {Status: 413, Title: "Too many events"},
	codeUnsupportedEncoding: {Status: 415, Title: "Content encoding not supported"},
	codeBrokenEncoding:      {Status: 400, Title: "Compressed body broken"},
	codeUnreadableBody:      {Status: 400, Title: "Body cannot be read"},
	codeQueueFull:           {Status: 503, Title: "Queue full", RetryAfter: 30},
	codeQueueRefusesSize:    {Status: 503, Title: "Queue misconfigured", RetryAfter: 30},
	codeNotConfirmed:        {Status: 503, Title: "Not confirmed in time", RetryAfter: 1},
	codeStopping:            {Status: 503, Title: "Server is stopping", RetryAfter: 2},
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
