package ingest

import (
	"regexp"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// credentialName is what a member's or a parameter's name has in it when the
// value is nobody's business.
const credentialName = `(?:api[-_.]?key|token|authorization|bearer|passw(?:or)?d|secret|signature|credential|jwt)` //nolint:gosec // names, not credentials

var (
	// namedInJSON matches a member with such a name; the value may be cut off.
	namedInJSON = regexp.MustCompile(`(?i)("[^"]{0,64}` + credentialName + `[^"]{0,64}"\s*:\s*)(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|[^\s"{}\[\],]+)`)
	// namedInForm matches a parameter with such a name.
	namedInForm = regexp.MustCompile(`(?i)(\b[\w.-]{0,64}` + credentialName + `[\w.-]{0,64}=)[^&;\s"]+`)
)

// scrubMargin is what is looked at beyond the bytes that are kept, so that a
// key at the cut is recognised.
const scrubMargin = 256

// scrubbed returns the beginning of a body that could not be read, as text and
// without what looks like a credential: it is kept where keys must not be.
func scrubbed(body string) string {
	body = body[:min(len(body), keptBytes+scrubMargin)]
	// Without its zero bytes a body in UTF-16 is text to look at, mostly.
	body = strings.ToValidUTF8(strings.ReplaceAll(body, "\x00", ""), "\uFFFD")
	body = namedInJSON.ReplaceAllString(body, `${1}"***"`)
	body = namedInForm.ReplaceAllString(body, `${1}***`)
	body = event.Scrub(body)
	// Not in the middle of a character.
	return strings.ToValidUTF8(body[:min(len(body), keptBytes)], "")
}
