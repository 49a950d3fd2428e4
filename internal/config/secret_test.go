package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestConnURL_String(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"nats://queue:4222":                  "nats://queue:4222",
		"queue:4222":                         "queue:4222",
		"nats://token@queue:4222":            "nats://***@queue:4222",
		"nats://user:pass@a,nats://u:p@b":    "nats://user:***@b",
		"user:pass@queue:4222":               "user:***@queue:4222",
		"postgres://nexero@db/nexero":        "postgres://nexero@db/nexero",
		"postgresql://nexero:pw@db/nexero":   "postgresql://nexero:***@db/nexero",
		"postgres://n:p/w@x:y@h1,h2:5433/db": "postgres://n:***@h1,h2:5433/db",
		"postgres://db/n?user=n&password=pw&sslmode=require": "postgres://db/n?user=n&password=***&sslmode=require",
		"postgres://db/n?sslpassword=pw":                     "postgres://db/n?sslpassword=***",
		"host=db user=n password=pw dbname=n":                "host=db user=n password=*** dbname=n",
		`host=db password = 'p w\'s' dbname=n`:               `host=db password = *** dbname=n`,
		`password=p\ w host=db`:                              `password=*** host=db`,
		`PASSWORD='unclosed host=db`:                         `PASSWORD=***`,
	} {
		if got := ConnURL(text).String(); got != want {
			t.Errorf("%q prints as %q, want %q", text, got, want)
		}
	}
}

// rule 8
func TestSecrets_NoFormShowsThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Long enough not to be part of a host's name by chance.
		password := rapid.StringMatching(`[A-Za-z0-9 !#$%&'()*+,./:;<=>?@\\^_{|}~-]{0,8}XyZZy[A-Za-z0-9!#$%&'()*+,./:;<=>?@\\^_{|}~-]{0,8}`).Draw(t, "password")
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password)
		escaped := url.QueryEscape(password)
		for _, shown := range []any{
			ConnURL("postgres://nexero:" + password + "@db:5432/nexero"),
			ConnURL("nats://nexero:" + password + "@queue:4222,nats://nexero:" + password + "@queue2:4222"),
			ConnURL("nats://" + escaped + "@queue:4222"),
			ConnURL("postgres://db/nexero?password=" + escaped + "&sslmode=require"),
			ConnURL("host=db password='" + quoted + "' dbname=nexero"),
			ConnURL("host=db dbname=nexero password=" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, ` `, `\ `).Replace(password)),
			Secret(password),
		} {
			encoded, err := json.Marshal(shown)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{
				fmt.Sprintf("%v %+v %s %q %#v", shown, shown, shown, shown, shown),
				fmt.Sprintf("%v %+v %#v", struct{ S any }{shown}, struct{ S any }{shown}, struct{ S any }{shown}),
				string(encoded), slog.AnyValue(shown).Resolve().String(),
			} {
				if strings.Contains(text, "XyZZy") {
					t.Errorf("%T shows its secret: %s", shown, text)
				}
			}
		}
	})
}

func TestSecret_EmptyIsSeenToBeEmpty(t *testing.T) {
	t.Parallel()
	if got := Secret("").String(); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}

func TestCredsFile_ContentIsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	_, err := load[Ingest](t, nil, []string{natsEnv, "NEXERO_NATS_CREDS=-----BEGIN NATS USER JWT-----\nhunter2"})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "is no path of a file") {
		t.Errorf("Load: %v, want a refusal that does not repeat the content", err)
	}
}
