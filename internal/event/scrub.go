package event

import "strings"

const (
	// keyPrefix is how every API key begins; keyIDLength is how many characters
	// of one are its public id. Package apikey has the whole form.
	keyPrefix   = "nxr_"
	keyIDLength = 10
	// keyMask stands for a secret. No character of it can be one of a secret, so
	// what was scrubbed stays as it is.
	keyMask = "***"
)

// Scrub returns s with the secret of everything in it that looks like an API
// key, nxr_<env>_<id>_<secret>, replaced by ***. Environment and id stay: they
// say whose key it was. It is meant for what a client wrote and we keep, so it
// is generous: a key that was cut, mistyped or run into its neighbour loses its
// secret too.
//
// The result is never longer than s, and it is s itself, without an allocation,
// when there is nothing to hide. Text that writes the key's own prefix with
// JSON or URL escapes is not recognised: scrub what was decoded, or before it
// was encoded.
func Scrub(s string) string {
	var clean strings.Builder
	done := 0 // s[:done] is in clean
	for at := strings.Index(s, keyPrefix); at >= 0; {
		from, to := keySecret(s, at+len(keyPrefix))
		if from < to {
			clean.WriteString(s[done:from])
			clean.WriteString(keyMask[:min(len(keyMask), to-from)])
			done = to
		}
		next := strings.Index(s[to:], keyPrefix)
		if next < 0 {
			break
		}
		at = to + next
	}
	if done == 0 {
		return s
	}
	clean.WriteString(s[done:])
	return clean.String()
}

// keySecret returns where the secret lies of the key whose environment begins
// at at; from and to are equal when there is none. A prefix at to or later is
// another key's.
func keySecret(s string, at int) (from, to int) {
	environment := false
	for _, code := range [...]string{"dev_", "stg_", "prod_"} {
		if strings.HasPrefix(s[at:], code) {
			at += len(code)
			environment = true
			break
		}
	}
	if !environment {
		return at, at
	}
	from = at
	for from < len(s) && from-at < keyIDLength && isKeyDigit(s[from]) {
		from++
	}
	if from == at {
		return at, at
	}
	if from < len(s) && s[from] == '_' {
		from++
	}
	to = from
	// An underscore goes on with the secret: whatever is glued to it may be
	// its other half.
	for to < len(s) && (isKeyDigit(s[to]) || s[to] == '_') {
		to++
	}
	return from, to
}

func isKeyDigit(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
