package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size. It is written as a number with an optional unit: B, KiB,
// MiB, GiB, TiB, or KB, MB, GB, TB for powers of ten.
type Bytes int64

// byteUnits are the units, longest spelling first where one ends another.
var byteUnits = [...]struct { //nolint:gochecknoglobals // a table that never changes
	name string
	size int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// String returns the size in the largest binary unit that it is a multiple of.
func (b Bytes) String() string {
	for _, unit := range byteUnits[:4] {
		if b != 0 && int64(b)%unit.size == 0 {
			return strconv.FormatInt(int64(b)/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText reads a size that is not negative.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, size := strings.TrimSpace(string(text)), int64(1)
	for _, unit := range byteUnits {
		if cut := len(number) - len(unit.name); cut >= 0 && strings.EqualFold(number[cut:], unit.name) {
			number, size = strings.TrimSpace(number[:cut]), unit.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return fmt.Errorf("%q is no size such as 65536, 256KiB or 10GB", text)
	}
	if n > uint64(math.MaxInt64/size) {
		return fmt.Errorf("%q is too large a size", text)
	}
	*b = Bytes(int64(n) * size) // no overflow: 63 bits, and the product was checked
	return nil
}
