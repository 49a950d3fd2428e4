package facts

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrVersion says that bytes were written by another version: a newer one, or
// one whose facts are defined differently. The session has to be folded anew,
// by a build that knows the version if it is newer.
var ErrVersion = errors.New("facts: another version")

// ErrDamaged says that bytes were not written by this package.
var ErrDamaged = errors.New("facts: damaged")

// writer appends values in the forms that reader reads.
type writer struct{ to []byte }

func (w *writer) uint(v uint64)  { w.to = binary.AppendUvarint(w.to, v) }
func (w *writer) count(n int)    { w.uint(uint64(n)) }
func (w *writer) int(v int64)    { w.to = binary.AppendVarint(w.to, v) }
func (w *writer) bytes(b []byte) { w.to = append(w.to, b...) }

func (w *writer) text(s string) {
	w.count(len(s))
	w.to = append(w.to, s...)
}

// flags appends up to eight bits in one byte.
func (w *writer) flags(set ...bool) {
	var bits byte
	for i, flag := range set {
		if flag {
			bits |= 1 << i
		}
	}
	w.to = append(w.to, bits)
}

// reader reads what writer wrote. After the first thing that does not fit it
// returns zeros, and err says what it was.
type reader struct {
	from []byte
	err  error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s, %d bytes before the end", ErrDamaged, what, len(r.from))
	}
	r.from = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.from)
	if n <= 0 {
		r.fail("a number does not end")
		return 0
	}
	r.from = r.from[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.from)
	if n <= 0 {
		r.fail("a number does not end")
		return 0
	}
	r.from = r.from[n:]
	return v
}

// within reads an unsigned number below limit.
func (r *reader) within(limit int, what string) int {
	v := r.uint()
	if r.err == nil && v >= uint64(limit) {
		r.fail(what)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

// narrow reads a signed number that has to fit a smaller type.
func narrow[T int8 | int16 | int32](r *reader) T {
	v := r.int()
	if int64(T(v)) != v {
		r.fail("a number is too large")
		return 0
	}
	return T(v)
}

// count reads the number of items of at least size bytes each. It is bounded by
// the bytes that are there, so that input cannot ask for more memory than it
// has itself, times a constant.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.from)/size) {
		r.fail("more items than bytes")
		return 0
	}
	return int(n)
}

func (r *reader) bytes(to []byte) {
	if len(r.from) < len(to) {
		r.fail("too short")
		return
	}
	copy(to, r.from)
	r.from = r.from[len(to):]
}

func (r *reader) text() string {
	n := r.count(1)
	s := string(r.from[:n])
	r.from = r.from[n:]
	return s
}

// flags reads a byte of bits into set.
func (r *reader) flags(set ...*bool) {
	var bits [1]byte
	r.bytes(bits[:])
	if bits[0]>>len(set) != 0 {
		r.fail("unknown flags")
	}
	for i, flag := range set {
		*flag = bits[0]&(1<<i) != 0
	}
}

// ascending fails unless order, a comparison of one item with the next, is
// negative.
func (r *reader) ascending(order int) {
	if order >= 0 {
		r.fail("items out of order")
	}
}

// done returns the error, which may be that something is left.
func (r *reader) done() error {
	if r.err == nil && len(r.from) > 0 {
		r.fail("bytes left over")
	}
	return r.err
}
