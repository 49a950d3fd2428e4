package apikey

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rule 8: whatever is printed or logged of a key shows neither its secret nor
// its hash.
func TestSecrecy(t *testing.T) {
	t.Parallel()
	text, record := mustNew(t)
	secret := text[len(text)-secretLength-checksumLength:]
	var out bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		log.Info("made", "key", record)
	}
	fmt.Fprintf(&out, "%v %+v %#v %s\n", record, record, record, record)

	var table table
	table.replace(map[string]Record{record.ID: record}, 1)
	table.compare(1, noon)
	mistyped := text[:len(text)-1] + "-"
	for _, attempt := range []string{text, mistyped, text + text, "x" + text} {
		if _, err := table.authenticate(attempt, ScopeAdmin, noon); err == nil {
			t.Fatal("authenticated")
		} else {
			fmt.Fprintln(&out, err)
		}
		_, err := Import(attempt, Spec{}, noon)
		fmt.Fprintln(&out, err)
	}
	shown := out.String()
	for _, hidden := range []string{
		secret[:8], secret[8:16], hex.EncodeToString(record.Hash), fmt.Sprintf("%d", record.Hash), string(record.Hash),
	} {
		if strings.Contains(shown, hidden) {
			t.Errorf("%q is shown in\n%s", hidden, shown)
		}
	}
	if !strings.Contains(shown, record.ID) {
		t.Errorf("the id, which may be seen, is missing in\n%s", shown)
	}
}

// Whoever brings a key along is told what one looks like.
func TestImport_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	text, _ := mustNew(t)
	valid := Spec{Tenant: "acme", Scopes: []Scope{ScopePost}}
	if record, err := Import(text, valid, noon); err != nil || record.Environment != "production" {
		t.Errorf("the environment is the key's own: %v, %v", record, err)
	}
	for brought, words := range map[string]string{
		"":                                    form,
		"secret":                              form,
		strings.Replace(text, "prod", "p", 1): "dev, stg and prod",
		strings.ToUpper(text):                 form,
		text[:len(text)-1] + "i":              alphabet,
		text[:20] + strings.Repeat("0", len(text)-20): "mistyped",
	} {
		if _, err := Import(brought, valid, noon); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "nexero keys create") {
			t.Errorf("import says %v, want %q and where keys come from", err, words)
		}
	}
}
