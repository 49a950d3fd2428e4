package query

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

// authenticate names the tenant that a request reads.
func (s *Server) authenticate(x *exchange) error {
	key, present := credential(x.request.Header)
	switch {
	case present && key == "":
		return refused(codeMalformedKey, "The Authorization header holds no bearer key. "+howToSendKey)
	case present:
	case s.options.AnonymousTenant != "":
		x.tenant = s.options.AnonymousTenant
		return nil
	default:
		return refused(codeMissingKey, "The request has no API key. "+howToSendKey)
	}
	record, err := s.deps.Authenticate(key)
	switch {
	case err == nil:
		x.tenant, x.keyID = record.Tenant, record.ID
		return nil
	case errors.Is(err, apikey.ErrMalformed):
		return refused(codeMalformedKey, "The API key is mistyped or cut off. "+howToSendKey)
	case errors.Is(err, apikey.ErrUnknown):
		return refused(codeUnknownKey, "There is no such API key.")
	case errors.Is(err, apikey.ErrRevoked):
		return refused(codeRevokedKey, "The API key was revoked.")
	case errors.Is(err, apikey.ErrScope):
		return refused(codeInsufficientScope, "The API key may not read.")
	default:
		// Whatever it is, a valid key must not be told that it is none.
		return refused(codeKeysUnavailable, "API keys cannot be checked at the moment. Send the same request again.").because(err)
	}
}
