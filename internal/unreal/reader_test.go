package unreal

import (
	"encoding/json"
	"strings"
	"testing"
)

// validJSON applies the readers to a whole text, as encoding/json.Valid does.
func validJSON(s string) bool {
	end, _ := scanValue(s, skipSpace(s, 0), 1<<30)
	return end >= 0 && skipSpace(s, end) == len(s)
}

// awkwardJSON is text at the edges of the grammar, on both sides of them.
func awkwardJSON() []string {
	return []string{
		`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1.5e3`, `""`, ` { } `, "\t[\r\n]\n",
		`{"a":1,"a":2}`, `[[[[]]],{"a":{"b":[]}}]`, `{"":0}`, `[1,2,[3],{"x":[]}]`,
		``, ` `, `{`, `}`, `[`, `]`, `[}`, `{]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{"a":1 "b":2}`,
		`{a:1}`, `{'a':1}`, `[1 2]`, `1 2`, `{}{}`, `[]]`, `nul`, `nulll`, `tru`, `True`, `NaN`, `nan`, `inf`, `-inf`, `-nan(ind)`, `Infinity`,
		`01`, `-01`, `00`, `1.`, `.5`, `-`, `+1`, `1e`, `1e+`, `1E-5`, `1e5.5`, `0x10`, `1_000`, `12,5`, `--1`,
		`18446744073709551615`, `18446744073709551616`, `0.000000000000000000000000012345678901234567890123`,
		`"\u0000"`, `"\ud800"`, `"\udc00"`, `"\ud800\udc00"`, `"\ud800\u0041"`, `"\uD83D\uDE00"`, `"\u12"`, `"\u12G4"`, `"\x41"`, `"\`, `"\"`, `"\\"`,
		`"\ud800\`, `"\ud800\u`, `"\ud800\ud8"`, "\"\x00\"", "\"\x1f\"", "\"\n\"", "\"\x7f\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"caf\u00e9\"", `"`, `"abc`, "\ufeff{}",
		`{"a":[{"b":[{"c":null}]}]}`, `// {}`, `{/**/}`, "{\"a\":1}\x00", "{\"a\"\v:1}", `[[1],[2],{"a":[3]}]`,
		strings.Repeat("[", 200) + strings.Repeat("]", 200),
		strings.Repeat(`{"a":[`, 100) + "1" + strings.Repeat(`]}`, 100),
		strings.Repeat("[", 64) + strings.Repeat("]", 65), strings.Repeat("[", 65) + "{" + strings.Repeat("]", 66),
	}
}

func TestScanValue_SameGrammarAsEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range awkwardJSON() {
		if got, want := validJSON(text), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: valid = %v, encoding/json says %v", text, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range awkwardJSON() {
		f.Add(text)
	}
	f.Add(tourBatch(3))
	f.Fuzz(func(t *testing.T, text string) {
		// encoding/json gives up at 10,000 levels; we never do.
		if strings.Count(text, "[")+strings.Count(text, "{") > 9_000 {
			return
		}
		if got, want := validJSON(text), json.Valid([]byte(text)); got != want {
			t.Fatalf("valid = %v, encoding/json says %v", got, want)
		}
		start := skipSpace(text, 0)
		end, m := scanValue(text, start, 1<<30)
		if end < 0 {
			if at := ^end; at < start || at > len(text) {
				t.Fatalf("broken at %d of %d", at, len(text))
			}
			e := describeBreak(text, ^end)
			if e.Detail == "" || e.Code == "" {
				t.Fatalf("no description: %+v", e)
			}
			return
		}
		// Both read what can be stored the same way; what cannot has a mark.
		if text[start] == '"' && m&markText == 0 {
			var want string
			if err := json.Unmarshal([]byte(text[start:end]), &want); err != nil {
				t.Fatal(err)
			}
			if v, _ := scalarAt(text, start); v.text != want && !strings.Contains(want, "\ufffd") {
				t.Fatalf("text %q, encoding/json reads %q", v.text, want)
			}
		}
	})
}

func TestScanValue_Depth(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		depth int
		deep  bool
	}{
		{`1`, 0, false},
		{`[]`, 0, true},
		{`[]`, 1, false},
		{`[[]]`, 1, true},
		{`[[],[]]`, 2, false},
		{`{"a":{"b":{}}}`, 2, true},
		{`{"a":{"b":{}}}`, 3, false},
	} {
		end, m := scanValue(test.text, 0, test.depth)
		if deep := m&markDepth != 0; end != len(test.text) || deep != test.deep {
			t.Errorf("%s within %d: end %d, too deep %v, want %v", test.text, test.depth, end, deep, test.deep)
		}
	}
}

// rule 9: nesting costs no stack, and memory in proportion to the body.
func TestScanValue_NestsWithoutBound(t *testing.T) {
	t.Parallel()
	const levels = 200_000
	text := strings.Repeat("[", levels) + strings.Repeat("]", levels)
	if end, m := scanValue(text, 0, 8); end != len(text) || m != markDepth {
		t.Fatalf("end %d, marks %b", end, m)
	}
	var open brackets
	for range levels {
		open.push(true)
	}
	if bytes := 8 * cap(open.earlier); bytes > levels/4 {
		t.Errorf("%d levels take %d bytes", levels, bytes)
	}
	for range levels {
		if !open.inObject() {
			t.Fatal("a bracket lost its kind")
		}
		open.pop()
	}
}

func TestScanValue_Marks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]marks{
		`"plain"`:                       0,
		`"caf\u00e9"`:                   markEscape,
		"\"caf\u00e9\"":                 markBeyondASCII,
		`"\u0000"`:                      markEscape | markText,
		`"\ud83d\ude00"`:                markEscape,
		`"\ud83d"`:                      markEscape | markText,
		`"\ude00"`:                      markEscape | markText,
		`"\ude00\ud83d"`:                markEscape | markText,
		`"\ud83d\ud83d\ude00"`:          markEscape | markText,
		`"\ud83d\n"`:                    markEscape | markText,
		`{"\u0000":1}`:                  markEscape | markText,
		`[1e400,-1e-400]`:               0,
		`1e401`:                         markNumber,
		`-1e-401`:                       markNumber,
		`[0.1e999999999999999999999]`:   markNumber,
		strings.Repeat("1", 400):        0,
		strings.Repeat("1", 401):        markNumber,
		"0." + strings.Repeat("0", 399): markNumber,
	} {
		end, m := scanValue(text, 0, 8)
		if end != len(text) || m != want {
			t.Errorf("%.60s: end %d, marks %b, want %b", text, end, m, want)
		}
	}
}
