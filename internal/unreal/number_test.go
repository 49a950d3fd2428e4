package unreal

import (
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// literals generates JSON numbers of every shape, long and short.
func literals() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?`),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?`),
		rapid.StringMatching(`-?0\.0{0,25}[0-9]{1,25}([eE][+-]?[0-9]{1,2})?`),
		rapid.Map(rapid.Float32(), func(f float32) string { return strconv.FormatFloat(float64(f), 'g', -1, 32) }).
			Filter(validJSON),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', 17, 64) }).
			Filter(validJSON),
	)
}

func TestDecimal_Float32IsNearest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		literal := literals().Draw(t, "literal")
		d, end := scanNumber(literal, 0)
		if end != len(literal) {
			t.Fatalf("ends at %d", end)
		}
		got, ok := d.float32(literal)
		want, err := strconv.ParseFloat(literal, 32)
		if ok != (err == nil) || ok && got != float32(want) {
			t.Fatalf("float32(%s) = %v, %v; strconv: %v, %v", literal, got, ok, want, err)
		}
	})
}

// exactly computes what the integer conversions must give, in rationals.
func exactly(t *rapid.T, literal string) *big.Rat {
	r, ok := new(big.Rat).SetString(literal)
	if !ok {
		t.Fatalf("big.Rat does not read %q", literal)
	}
	return r
}

// halfAway rounds to the nearest integer, a half away from zero.
func halfAway(r *big.Rat) *big.Int {
	twice := new(big.Int).Lsh(new(big.Int).Abs(r.Num()), 1)
	rounded := new(big.Int).Quo(twice.Add(twice, r.Denom()), new(big.Int).Lsh(r.Denom(), 1))
	if r.Sign() < 0 {
		rounded.Neg(rounded)
	}
	return rounded
}

func TestDecimal_IntegersAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		literal := literals().Draw(t, "literal")
		d, _ := scanNumber(literal, 0)
		r := exactly(t, literal)
		nearest := halfAway(r)
		fits := nearest.IsInt64() && nearest.Int64() != -1<<63
		// Of more than 19 digits the rest is cut, which can matter from 10^18 on:
		// beyond every length and time.
		exact := !d.truncated || new(big.Int).Abs(nearest).Cmp(big.NewInt(1e18)) < 0
		if got, ok := d.rounded(); exact && (ok != fits || ok && got != nearest.Int64()) {
			t.Fatalf("rounded(%s) = %d, %v; want %s", literal, got, ok, nearest)
		}
		if got, ok := d.integer(); ok != (fits && r.IsInt()) || ok && got != nearest.Int64() {
			t.Fatalf("integer(%s) = %d, %v; want %s", literal, got, ok, r)
		}
	})
}

func TestDecimalOf_Text(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"12.5": "12.5", " 12.5\t": "12.5", "+12.5": "12.5", "-0": "-0", "1e3": "1e3", "\u00a07": "7",
		"": "", " ": "", "+": "", "-": "", "abc": "", "12,5": "", "1 2": "", "nan": "", "inf": "", "-inf": "", ".5": "", "5.": "",
		"0x10": "", "12abc": "", "++1": "", "007": "", "1_000": "",
	} {
		_, literal, ok := decimalOf(text)
		if ok != (want != "") || ok && literal != want {
			t.Errorf("decimalOf(%q) = %q, %v; want %q", text, literal, ok, want)
		}
	}
}
