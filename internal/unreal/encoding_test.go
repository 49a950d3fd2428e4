package unreal

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// wide encodes text as UTF-16.
func wide(text string, bigEndian, mark bool) string {
	var b strings.Builder
	put := func(unit uint16) {
		if bigEndian {
			b.Write([]byte{byte(unit >> 8), byte(unit)})
		} else {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		}
	}
	if mark {
		put(0xfeff)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		put(unit)
	}
	return b.String()
}

func TestBatch_Encodings(t *testing.T) {
	t.Parallel()
	body := bodyOf(`{"event_type":"cta","timestamp":1763799990,"zone_name":"Küche 😀","metadata":{"ß":1}}`)
	plain := decodeBatch(t, body)
	for name, sent := range map[string]string{
		"byte order mark":      markUTF8 + body,
		"trailing NULs":        body + "\x00\x00\x00",
		"trailing space":       " \n" + body + " \r\n\x00 ",
		"UTF-16LE with mark":   wide(body, false, true),
		"UTF-16BE with mark":   wide(body, true, true),
		"UTF-16LE":             wide(body, false, false),
		"UTF-16BE":             wide(body, true, false),
		"UTF-16LE and NULs":    wide(body+"\x00\x00", false, true),
		"UTF-16LE and one NUL": wide(body, false, true) + "\x00",
	} {
		b := decodeBatch(t, sent)
		if diff := cmp.Diff(plain.Events, b.Events); diff != "" || len(b.Rejected) != 0 {
			t.Errorf("%s: %s", name, diff)
		}
		if b.Digest != plain.Digest {
			t.Errorf("%s: another digest", name)
		}
	}
}

func TestBatch_BrokenUTF16(t *testing.T) {
	t.Parallel()
	body := wide(bodyOf(`{"event_type":"cta","timestamp":1763799990,"zone_name":"#"}`, `{"event_type":"cta","timestamp":1763799990}`), false, true)
	for _, half := range []string{"\x00\xd8", "\x00\xdc"} {
		b := decodeBatch(t, strings.Replace(body, "#\x00", half, 1))
		if len(b.Events) != 1 || len(b.Rejected) != 1 || b.Rejected[0].Code != event.InvalidText {
			t.Errorf("half a pair %x: %+v", half, b.Rejected)
		}
	}
	e := bodyErrorOf(t, EndpointBatch, wide(`{"é😀":nan}`, true, true))
	if want := int64(len(wide(`{"é😀":`, true, true))); e.Offset != want {
		t.Errorf("offset %d, want %d", e.Offset, want)
	}
}

func TestTranscode_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := "{" + strings.ToValidUTF8(rapid.String().Draw(t, "text"), "")
		for _, bigEndian := range []bool{false, true} {
			for _, mark := range []bool{false, true} {
				if !mark && len(text) > 1 && text[1] == 0 {
					continue // "{\x00" cannot be told from UTF-16
				}
				if got, whole := transcode(wide(text, bigEndian, mark)); got != text || !whole {
					t.Fatalf("read %q, want %q", got, text)
				}
			}
		}
	})
}
