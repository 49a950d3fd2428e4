package apikey

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func spec() Spec {
	return Spec{Tenant: "acme", Environment: "production", Name: "showroom", Scopes: []Scope{ScopePost}}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// zeros is a source of randomness that makes one key only.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestNew_Form(t *testing.T) {
	t.Parallel()
	text, record, err := New(spec(), noon, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	// The form is a contract: keys that were handed out stay good.
	want := "nxr_prod_0000000000_" + strings.Repeat("0", 36) + "5hzpw2"
	if text[:len(text)-6] != want[:len(want)-6] || len(text) != len(want) {
		t.Errorf("key %q, want the form of %q", text, want)
	}
	hash := hashOf(text)
	wantRecord := Record{
		ID: "0000000000", Tenant: "acme", Environment: "production", Name: "showroom",
		Scopes: []Scope{ScopePost}, Hash: hash[:], CreatedAt: noon,
	}
	if diff := cmp.Diff(wantRecord, record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	// rule 8: what is kept does not hold the secret.
	kept, err := json.Marshal(record)
	if err != nil || bytes.Contains(kept, []byte(strings.Repeat("0", 36))) {
		t.Errorf("kept %s, %v", kept, err)
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Spec)
	}{
		{"no tenant", func(s *Spec) { s.Tenant = "" }},
		{"tenant in capitals", func(s *Spec) { s.Tenant = "Acme" }},
		{"tenant beginning with a dash", func(s *Spec) { s.Tenant = "-acme" }},
		{"tenant too long", func(s *Spec) { s.Tenant = strings.Repeat("a", 64) }},
		{"unknown environment", func(s *Spec) { s.Environment = "prod" }},
		{"no scope", func(s *Spec) { s.Scopes = nil }},
		{"unknown scope", func(s *Spec) { s.Scopes = []Scope{"write"} }},
		{"publishable, to read", func(s *Spec) { s.Publishable, s.Scopes = true, []Scope{ScopePost, ScopeRead} }},
		{"name with a line break", func(s *Spec) { s.Name = "a\nb" }},
		{"name too long", func(s *Spec) { s.Name = strings.Repeat("a", 101) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := spec()
			test.change(&s)
			if _, _, err := New(s, noon, rand.Reader); err == nil {
				t.Error("it was accepted")
			}
		})
	}
	if _, _, err := New(spec(), noon, strings.NewReader("short")); err == nil {
		t.Error("a key was made of too little randomness")
	}
}

func TestImport_WantsTheKeysOwnEnvironment(t *testing.T) {
	t.Parallel()
	text, record, err := New(spec(), noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Import(text, spec(), noon)
	if diff := cmp.Diff(record, again); err != nil || diff != "" {
		t.Errorf("import: %v\n%s", err, diff)
	}
	other := spec()
	other.Environment = "development"
	if _, err := Import(text, other, noon); !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want ErrMalformed without the key", err)
	}
}

// A key with one wrong character, or two in each other's place, is told apart
// before anybody is asked.
func TestParse_FindsTypingErrors(t *testing.T) {
	t.Parallel()
	text, record, err := New(spec(), noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := Parse(text); err != nil || id != record.ID {
		t.Fatalf("Parse = %q, %v", id, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		wrong := []byte(text)
		at := rapid.IntRange(0, len(wrong)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "swap") && at > 0 {
			wrong[at-1], wrong[at] = wrong[at], wrong[at-1]
		} else {
			wrong[at] = alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(t, "digit")]
		}
		if string(wrong) == text {
			return
		}
		if _, err := Parse(string(wrong)); !errors.Is(err, ErrMalformed) {
			t.Fatalf("Parse(%q) = %v, want ErrMalformed", wrong, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	text, _, err := New(spec(), noon, zeros{})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", text, text[1:], text + "0", strings.ToUpper(text), "nxr_prod__", "nxr_dev_\xff_"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := Parse(text)
		if err == nil && (!isDigits(id, idLength) || !strings.HasPrefix(text, "nxr_")) {
			t.Errorf("Parse(%q) = %q", text, id)
		}
		if err != nil && (!errors.Is(err, ErrMalformed) || len(text) > 8 && strings.Contains(err.Error(), text)) {
			t.Errorf("Parse(%q) = %v", text, err)
		}
	})
}
