package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	// strong is as openssl rand -hex 12 makes them.
	strong = "9f8c2b7e41d06a35c2e17b94"
	// short is random and can be tried out.
	short = "9f8c2b7e"
)

// No secret that others know, or can guess, is taken where it matters. // rule 8
func TestLoad_Secrets(t *testing.T) {
	t.Parallel()
	url := func(secret string) string { return "NEXERO_DATABASE_URL=postgres://nexero:" + secret + "@db/nexero" }
	for _, test := range []struct {
		name string
		env  string
		// refused are the environments of three that refuse it.
		refused string
	}{
		{"strong", url(strong), ""},
		{"short", url(short), "production"},
		{"the default of an image", url("postgres"), "staging production"},
		{"a word with a number", url("Password123!"), "staging production"},
		{"words", url("super-secret-password"), "staging production"},
		{"changeme", url("changeme-changeme-changeme"), "staging production"},
		{"demo", url("nexero_demo"), "staging production"},
		{"digits", url("123456"), "staging production"},
		{"one character", url(strings.Repeat("z", 32)), "production"},
		{"keyword form", "NEXERO_DATABASE_URL=host=db user=nexero password='postgres'", "staging production"},
		{"keyword form, strong", "NEXERO_DATABASE_URL=host=db password=" + strong, ""},
		{"file of passwords", "NEXERO_DATABASE_URL=host=db user=nexero passfile=/run/secrets/pass", ""},
		{"no password", "NEXERO_DATABASE_URL=postgres://nexero@db/nexero", ""},
		{"password in the query", "NEXERO_DATABASE_URL=postgres://db/nexero?user=n&password=secret", "staging production"},
		{"queue", "NEXERO_NATS_URL=nats://nexero:nexero@nats:4222", "staging production"},
		{"second server of the queue", "NEXERO_NATS_URL=nats://n:" + strong + "@a:4222,nats://n:test@b:4222", "staging production"},
		{"token of the queue", "NEXERO_NATS_URL=nats://s3cr3t@nats:4222", "production"},
		{"queue with credentials elsewhere", "NEXERO_NATS_URL=nats://nats:4222", ""},
		{"key", "NEXERO_API_KEY=nxr_prod_0123456789_" + strong + strong[:18], ""},
		{"key of zeros", "NEXERO_API_KEY=nxr_prod_0123456789_" + strings.Repeat("0", 36) + "5hzpw2", "production"},
		{"key of an example", "NEXERO_API_KEY=demo", "staging production"},
	} {
		for _, environment := range []string{"development", "staging", "production"} {
			t.Run(test.name+" in "+environment, func(t *testing.T) {
				t.Parallel()
				_, err := load[Up](t, []string{"--data-dir=/tmp/x", "--environment=" + environment}, []string{test.env})
				if want := strings.Contains(test.refused, environment); (err != nil) != want {
					t.Fatalf("Load: %v, refused should be %v", err, want)
				}
				if err == nil {
					return
				}
				name, value, _ := strings.Cut(test.env, "=")
				if !strings.Contains(err.Error(), name) {
					t.Errorf("the error does not name the setting: %v", err)
				}
				if ConnURL(value).passwords() != nil && strings.Contains(err.Error(), ConnURL(value).passwords()[0]+"@") {
					t.Errorf("the error holds the secret: %v", err)
				}
			})
		}
	}
}

// rule 8
func TestLoad_WeakSecretIsNotRepeated(t *testing.T) {
	t.Parallel()
	_, err := load[Ingest](t, []string{"--environment=production"}, []string{"NEXERO_NATS_URL=nats://me:hunter2@nats:4222"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want one without the secret", err)
	}
}

// A random secret of the length that is asked for is good.
func TestWeakness_RandomSecrets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[0-9a-zA-Z]{32}`).Draw(t, "secret")
		for _, r := range secret {
			if strings.Count(strings.ToLower(secret), strings.ToLower(string(r))) > 6 {
				return // rapid likes what a real draw gives once in a million
			}
		}
		if why := weakness(secret, Production); why != "" {
			t.Errorf("%q %s", secret, why)
		}
	})
}

func TestConnURL_Passwords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                    nil,
		"postgres://u:p%40ss@db/n":            {"p@ss"},
		"postgres://u@db/n":                   nil,
		"nats://token@a:4222":                 {"token"},
		"nats://u:a@h:1, nats://u:b@h:2":      {"a", "b"},
		"host=db password=a user=u":           {"a"},
		`host=db password='a b'`:              {"a b"},
		"host=db passfile=/x sslpassword=key": {"key"},
		"postgres://u:%zz@db":                 nil,
	} {
		if diff := cmp.Diff(want, ConnURL(text).passwords()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
