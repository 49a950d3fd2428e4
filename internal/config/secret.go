package config

import (
	"log/slog"
	"regexp"
	"strings"
)

// masked stands for what must not be seen.
const masked = "***"

// Secret is text of which nothing may be seen, for example an API key. Every
// way of printing it gives "***", or "" when there is none.
type Secret string

// Reveal returns the secret itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString returns a mask for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue returns a mask for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns a mask for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the secret as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// ConnURL is where and as whom to connect: a URL, a list of URLs, or the
// "host=... password=..." form of PostgreSQL. It prints with everything that
// can be a password masked, rather too much than too little.
type ConnURL string

// Reveal returns the address with its password, for the driver.
func (u ConnURL) Reveal() string { return string(u) }

// GoString returns the masked address for %#v.
func (u ConnURL) GoString() string { return u.String() }

// LogValue returns the masked address for slog.
func (u ConnURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText returns the masked address for JSON and YAML.
func (u ConnURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText takes the address as it is.
func (u *ConnURL) UnmarshalText(text []byte) error {
	*u = ConnURL(text)
	return nil
}

// keywordPassword is a password in the keyword form, where a value is quoted
// or ends at a space, and a backslash takes the next character along.
var keywordPassword = regexp.MustCompile(
	`(?i)(pass[a-z]*|secret|token)(\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:\\.|[^\s\\])*\\?)`)

// queryPassword is the same in a URL's query.
var queryPassword = regexp.MustCompile(
	`(?i)([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*`)

// String returns the address without what can be a password. It does not parse
// URLs, since a password that breaks a parser must be masked as well: all
// between the scheme, or the first colon behind it, and the last @ is hidden.
func (u ConnURL) String() string {
	text := string(u)
	scheme, rest := "", text
	if at := strings.Index(text, "://"); at >= 0 {
		scheme, rest = text[:at+3], text[at+3:]
	} else if strings.Contains(text, "=") {
		return keywordPassword.ReplaceAllString(text, "${1}${2}"+masked)
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		switch {
		case hasPassword:
			user += ":" + masked
		case !strings.HasPrefix(scheme, "postgres"):
			user = masked // a lone name is a token to NATS
		}
		rest = user + rest[at:]
	}
	return scheme + queryPassword.ReplaceAllString(rest, "${1}"+masked)
}
