package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"
)

// The environments, values of the setting of that name.
const (
	// Development is a developer's machine: any secret will do.
	Development = "development"
	// Staging is for trying; its secrets must not be the ones that everybody knows.
	Staging = "staging"
	// Production holds what is real.
	Production = "production"
)

const (
	// leastSecret is the length below which a secret can be guessed by trying.
	leastSecret = 16
	// leastVariety is how many different characters a random secret has at
	// least: hexadecimal ones of this length have fewer once in a billion.
	leastVariety = 5
)

// wellKnown are words that stand in examples, images and tutorials, those that
// contain another first. A secret that is made of them for the most part is none.
//
//nolint:gochecknoglobals // a table that never changes
var wellKnown = []string{
	"password", "passwrd", "passphrase", "insecure", "changeme", "changeit", "replaceme", "letmein", "postgres", "nexero", "development",
	"default", "example", "sample", "secret", "scret", "admin", "dummy", "demo", "qwerty", "token", "guest", "nats", "root", "super", "test", "user", "pass", "your", "here", "the", "my", "key",
}

// checkSecrets reports secrets that are too weak for the environment, of every
// setting that can hold one. The errors say what is wrong and never the secret.
func checkSecrets(settings []setting, root reflect.Value) error {
	environment := Development
	for i := range settings {
		if settings[i].Name == "environment" {
			environment = settings[i].field(root).String()
		}
	}
	if environment == Development {
		return nil
	}
	var errs []error
	for i := range settings {
		var secrets []string
		switch v := settings[i].field(root).Interface().(type) {
		case Secret:
			secrets = []string{lastPart(v.Reveal())}
		case ConnURL:
			secrets = v.passwords()
		}
		for _, secret := range secrets {
			if why := weakness(secret, environment); why != "" {
				errs = append(errs, fmt.Errorf("%s: its secret %s; %s needs a random one of %d characters or more",
					title(settings[i].Name), why, environment, leastSecret))
			}
		}
	}
	return errors.Join(errs...)
}

// lastPart is the part of a key that nobody can know: what comes before is its
// form and its name.
func lastPart(key string) string { return key[strings.LastIndexByte(key, '_')+1:] }

// weakness says why a secret will not do in an environment, or "". An empty one
// is no secret: the setting is not used.
func weakness(secret, environment string) string {
	counts, most := map[rune]int{}, 0 // of each character, and of the commonest
	var letters strings.Builder
	for _, r := range strings.ToLower(secret) {
		counts[r]++
		most = max(most, counts[r])
		if r >= 'a' && r <= 'z' {
			letters.WriteRune(r)
		}
	}
	unknown := letters.String()
	for _, word := range wellKnown {
		unknown = strings.ReplaceAll(unknown, word, "")
	}
	length := utf8.RuneCountInString(secret)
	switch {
	case secret == "":
		return ""
	case letters.Len() > 0 && len(unknown)*2 < letters.Len(), letters.Len() == 0 && length < leastSecret:
		return "is one that everybody knows"
	case environment != Production:
		return ""
	case length < leastSecret:
		return "is too short"
	case len(counts) < leastVariety, most*2 > length:
		return "is the same few characters again and again"
	}
	return ""
}

// passwords returns what in u can be a password or a token. One that stands
// elsewhere, in a file of credentials say, is not seen.
func (u ConnURL) passwords() []string {
	text := string(u)
	if !strings.Contains(text, "://") && strings.Contains(text, "=") {
		return keywordPasswords(text)
	}
	var found []string
	// NATS takes several servers, separated by commas.
	for address := range strings.SplitSeq(text, ",") {
		parsed, err := url.Parse(strings.TrimSpace(address))
		if err != nil {
			continue // whoever connects says so
		}
		if password, ok := parsed.User.Password(); ok {
			found = append(found, password)
		} else if name := parsed.User.Username(); name != "" && !strings.HasPrefix(parsed.Scheme, "postgres") {
			found = append(found, name) // a lone name is a token to NATS
		}
		for name, values := range parsed.Query() {
			if lower := strings.ToLower(name); lower == "password" || lower == "token" {
				found = append(found, values...)
			}
		}
	}
	return found
}

// keywordPasswords returns the values of password in PostgreSQL's keyword form.
func keywordPasswords(text string) []string {
	var found []string
	for _, match := range keywordPassword.FindAllStringSubmatch(text, -1) {
		if value := strings.Trim(match[3], "'"); strings.EqualFold(match[1], "password") && value != "" {
			found = append(found, value)
		}
	}
	return found
}
