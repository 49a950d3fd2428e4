package ingest

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// Keys that clients write into bodies are not kept. // rule 8
func TestUnreadable_HoldsNoCredential(t *testing.T) {
	t.Parallel()
	const secret = "s3cretsecretsecretsecretsecretsecret012345"
	key := "nxr_dev_0123456789_" + strings.Repeat("s3cr3t", 7)
	for name, body := range map[string]string{
		"key":              `{"x":"` + key + `","events":[`,
		"key, unnamed":     key,
		"member":           `{"API_Key":"` + secret + `","events":[`,
		"member, escapes":  `{"token" : "a\"` + secret + `","events":[`,
		"member, cut off":  `{"events":[],"password":"` + secret,
		"member, number":   `{"client_secret":987654321,"events":[`,
		"form":             `{"events":[ Authorization=` + secret + `&a=b`,
		"at the cut":       `{"events":[` + strings.Repeat(" ", keptBytes-11-40) + key,
		"member, at cut":   `{"events":[` + strings.Repeat(" ", keptBytes-11-20) + `"apikey":"` + secret + `"`,
		"UTF-16":           utf16Of(`{"secret":"` + secret + `","x":"` + key + `","events":[`),
		"broken, as plain": `{"x":"` + key + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			header := map[string]string{}
			if strings.HasPrefix(name, "broken") {
				header["Content-Encoding"] = "gzip"
			}
			if got := e.send(t, http.MethodPost, pathBatch, body, header); got.Status != http.StatusBadRequest {
				t.Fatalf("answered %v", got.JSON)
			}
			raw := e.stored(t)[0].Rejected[0].Raw
			if strings.Contains(raw, "s3cr") || strings.Contains(raw, "98765") || len(raw) > keptBytes || raw == "" || !utf8.ValidString(raw) {
				t.Errorf("kept %q", strings.TrimSpace(raw))
			}
		})
	}
}
