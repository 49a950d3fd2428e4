package gate

import "github.com/google/uuid"

// CorrelationHeader carries the id that ties a request to its log lines and to
// its rows. It is taken from the client, or made, and always returned.
const CorrelationHeader = "X-Correlation-Id"

const maxCorrelationID = 64

// saneCorrelationID reports whether a client's id can be used as it is. It goes
// into logs and tables, so anything but plain characters is replaced.
func saneCorrelationID(id string) bool {
	if id == "" || len(id) > maxCorrelationID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// correlationID returns the client's id if it is sane, else a new one.
func correlationID(sent string) string {
	if saneCorrelationID(sent) {
		return sent
	}
	return uuid.Must(uuid.NewV7()).String()
}
