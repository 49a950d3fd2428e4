package event

import "testing"

func TestTrace(t *testing.T) {
	t.Parallel()
	id, span := [16]byte{15: 0xab}, [8]byte{7: 0xcd}
	for _, test := range []struct {
		name           string
		trace          Trace
		valid, sampled bool
		text           string
	}{
		{name: "none"},
		{name: "flags alone", trace: Trace{Flags: 1}},
		{name: "no span", trace: Trace{ID: id, Flags: 1}},
		{name: "no trace", trace: Trace{Span: span, Flags: 1}},
		{name: "not sampled", trace: Trace{ID: id, Span: span, Flags: 2}, valid: true, text: "00-000000000000000000000000000000ab-00000000000000cd-02"},
		{name: "sampled", trace: Trace{ID: id, Span: span, Flags: 3}, valid: true, sampled: true, text: "00-000000000000000000000000000000ab-00000000000000cd-03"},
	} {
		if test.trace.Valid() != test.valid || test.trace.Sampled() != test.sampled || test.trace.String() != test.text {
			t.Errorf("%s: valid %v, sampled %v, %q", test.name, test.trace.Valid(), test.trace.Sampled(), test.trace)
		}
	}
}
