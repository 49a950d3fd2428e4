package event

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const normalGUID = "7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"

func TestNormaliseSessionID(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		// One GUID in the forms in which Unreal prints it.
		"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8":                    normalGUID,
		"7aff2d5c4fdbfa8b8a9fdaa1efa98ce8":                    normalGUID,
		"7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8":                normalGUID,
		"{7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8}":              normalGUID,
		"(7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8)":              normalGUID,
		"7AFF2D5C-4FDBFA8B-8A9FDAA1-EFA98CE8":                 normalGUID,
		" 7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8\r\n":           normalGUID,
		"AnalyticsET@@{7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8}": normalGUID,
		"AnalyticsET@@ 7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8 ": normalGUID,
		// Any other id stays as it is.
		"1755265374_quest-3": "1755265374_quest-3", "Session.1:a@b": "Session.1:a@b", "x": "x", "test": "test", "ET@@test": "test",
		strings.Repeat("a", 128):           strings.Repeat("a", 128),
		"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE":  "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE",
		"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CEG": "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CEG",
		// No ids.
		"": "", " ": "", "{}": "", "ET@@": "", "a b": "", "a/b": "", "a\x00": "", "caf\u00e9": "", "\xff": "", "a+b": "", "a\nb": "",
		strings.Repeat("a", 129): "",
	} {
		id, ok := NormaliseSessionID(raw)
		if id != want || ok != (want != "") {
			t.Errorf("%q becomes %q, %v; want %q", raw, id, ok, want)
		}
	}
	for _, zero := range []string{strings.Repeat("0", 32), "{00000000-0000-0000-0000-000000000000}"} {
		if _, ok := NormaliseSessionID(zero); ok {
			t.Errorf("%s counts as an id", zero)
		}
	}
}

// A normal form is its own normal form, or one session would have two keys,
// depending on whether its id went through once or twice.
func TestNormaliseSessionID_Idempotent(t *testing.T) {
	t.Parallel()
	raw := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[ {(]{0,2}([a-zA-Z]{1,3}@@){0,2}[ {(]{0,2}[0-9A-Fa-f._:@-]{0,40}[ )}]{0,2}`),
		rapid.StringMatching(`[{(]?[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}[)}]?`),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := raw.Draw(t, "raw")
		id, ok := NormaliseSessionID(text)
		if !ok {
			return
		}
		if again, ok := NormaliseSessionID(id); !ok || again != id {
			t.Fatalf("%q becomes %q, and that becomes %q, %v", text, id, again, ok)
		}
		if CheckText(id, 128) != "" {
			t.Fatalf("%q cannot be stored", id)
		}
	})
}

func TestSessionKey(t *testing.T) {
	t.Parallel()
	key := SessionKey("acme", normalGUID)
	if key != SessionKey("acme", normalGUID) {
		t.Error("a session has two keys")
	}
	for _, other := range []UUID{SessionKey("acme2", normalGUID), SessionKey("acme", "test"), NameUUID("batch", "acme", normalGUID)} {
		if other == key {
			t.Error("two sessions share a key")
		}
	}
}

func TestNameUUID_IsOfVersion8(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "parts")
		if id := NameUUID(parts...).String(); !form.MatchString(id) {
			t.Fatal(id)
		}
	})
}

// rule 2: ids of different parts differ, however the parts are cut.
func TestNameUUID_PartsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		strings := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "aa", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x01", "b"}), 0, 4)
		one, two := strings.Draw(t, "one"), strings.Draw(t, "two")
		same := len(one) == len(two)
		for i := range min(len(one), len(two)) {
			same = same && one[i] == two[i]
		}
		if (NameUUID(one...) == NameUUID(two...)) != same {
			t.Fatalf("%q and %q", one, two)
		}
	})
}

// The ids of stored batches must never change: these were computed by
// another program.
func TestNameUUID_Golden(t *testing.T) {
	t.Parallel()
	for want, parts := range map[string][]string{
		"e3b0c442-98fc-8c14-9afb-f4c8996fb924": nil,
		"45c6ab8e-b4b5-8202-a05b-64fe364e5351": {"session", "acme", normalGUID},
	} {
		if got := NameUUID(parts...).String(); got != want {
			t.Errorf("NameUUID(%q) = %s, want %s", parts, got, want)
		}
	}
}

func TestDigestOf(t *testing.T) {
	t.Parallel()
	// Longer than any buffer that the digest may be made through.
	for _, length := range []int{0, 1, 63, 64, 65, 4095, 4096, 4097, 1 << 20} {
		raw := strings.Repeat("nexero", length/6+1)[:length]
		sum := sha256.Sum256([]byte(raw))
		if DigestOf(raw) != [16]byte(sum[:16]) {
			t.Errorf("digest of %d bytes is not the front of SHA-256", length)
		}
	}
}

func TestReusedID(t *testing.T) {
	t.Parallel()
	id := NameUUID("a")
	one, two := ReusedID(id, DigestOf("1")), ReusedID(id, DigestOf("2"))
	if one == two || one == id || one != ReusedID(id, DigestOf("1")) {
		t.Errorf("%s, %s of %s", one, two, id)
	}
}

func TestUUID_String(t *testing.T) {
	t.Parallel()
	id := UUID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if got := id.String(); got != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Error(got)
	}
	if got := (UUID{}).String(); got != "00000000-0000-0000-0000-000000000000" {
		t.Error(got)
	}
}
