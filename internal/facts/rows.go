package facts

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// rowsForm is the version of the bytes of contributions.
const rowsForm = 1

// Append appends the list to dst. Equal lists give equal bytes.
func (c Contributions) Append(dst []byte) []byte {
	w := &writer{dst}
	w.count(rowsForm)
	numbers := map[string]uint64{"": 0}
	for i := range c {
		for _, text := range [...]string{c[i].Property, c[i].Zone, c[i].Object, c[i].Kind} {
			if text != "" {
				numbers[text] = 0
			}
		}
	}
	texts := slices.Sorted(maps.Keys(numbers))
	w.count(len(texts) - 1)
	for i, text := range texts {
		numbers[text] = uint64(i)
		if i > 0 { // the empty text is always there
			w.text(text)
		}
	}
	for len(c) > 0 {
		table := c[0].Table
		n := slices.IndexFunc(c, func(r Row) bool { return r.Table != table })
		if n < 0 {
			n = len(c)
		}
		w.count(int(table))
		w.count(n)
		var last Key
		for i := range c[:n] {
			w.row(&c[i], &last, numbers)
			last = c[i].Key
		}
		c = c[n:]
	}
	return w.to
}

// row writes r; numbers in its key as differences from the row before.
func (w *writer) row(r *Row, last *Key, numbers map[string]uint64) {
	for _, column := range tables[r.Table].Key {
		switch column {
		case KeyProperty:
			w.uint(numbers[r.Property])
		case KeyDay:
			w.int(int64(r.Day - last.Day))
		case KeyHour:
			w.int(r.Hour - last.Hour)
		case KeyZone:
			w.uint(numbers[r.Zone])
		case KeyObject:
			w.uint(numbers[r.Object])
		case KeyKind:
			w.uint(numbers[r.Kind])
		case KeyLevel:
			w.int(int64(r.Level - last.Level))
		case KeyX:
			w.int(int64(r.X - last.X))
		case KeyY:
			w.int(int64(r.Y - last.Y))
		case KeyType:
			w.int(int64(r.Type - last.Type))
		}
	}
	w.int(r.Refs)
	for _, sum := range r.Sums {
		w.int(sum)
	}
	if tables[r.Table].Bins == "" {
		return
	}
	w.count(len(r.Bins))
	next := 0
	for _, bin := range r.Bins {
		w.count(bin.Bin - next)
		w.int(bin.Count)
		next = bin.Bin + 1
	}
}

// DecodeContributions reads what [Contributions.Append] wrote. The error is
// ErrVersion or ErrDamaged. The list shares no memory with from.
func DecodeContributions(from []byte) (Contributions, error) {
	r := &reader{from: from}
	if form := r.uint(); r.err == nil && form != rowsForm {
		return nil, fmt.Errorf("%w: contributions of form %d; this build has %d", ErrVersion, form, rowsForm)
	}
	texts := []string{""}
	for range r.count(2) {
		text := r.text()
		if text <= texts[len(texts)-1] {
			r.fail("texts out of order")
			break
		}
		texts = append(texts, text)
	}
	var all Contributions
	before := Table(0)
	for r.err == nil && len(r.from) > 0 {
		table := Table(r.within(int(tableEnd), "an unknown table"))
		if table <= before {
			r.fail("tables out of order")
			break
		}
		before = table
		all = append(all, r.rows(table, texts)...)
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	return all, nil
}

// rows reads the rows of one table.
func (r *reader) rows(table Table, texts []string) Contributions {
	columns := &tables[table]
	width := len(columns.Sums)
	n := r.count(len(columns.Key) + 1 + width)
	if n == 0 {
		r.fail("a table without rows")
		return nil
	}
	rows := make(Contributions, n)
	sums := make([]int64, n*width)
	last := Key{Table: table}
	for i := range rows {
		row := &rows[i]
		row.Key = r.rowKey(last, columns.Key, texts)
		if i > 0 {
			r.ascending(last.Compare(&row.Key))
		}
		last = row.Key
		row.Refs = r.int()
		row.Sums = sums[i*width : (i+1)*width : (i+1)*width]
		for j := range row.Sums {
			row.Sums[j] = r.int()
		}
		if columns.Bins != "" {
			row.Bins = r.bins()
		}
		if r.err == nil && row.zero() {
			r.fail("an empty row")
		}
	}
	return rows
}

func (r *reader) rowKey(last Key, columns []KeyColumn, texts []string) Key {
	text := func() string { return texts[r.within(len(texts), "an unknown text")] }
	key := last
	for _, column := range columns {
		switch column {
		case KeyProperty:
			key.Property = text()
		case KeyDay:
			key.Day += narrow[int32](r)
		case KeyHour:
			key.Hour += r.int()
		case KeyZone:
			key.Zone = text()
		case KeyObject:
			key.Object = text()
		case KeyKind:
			key.Kind = text()
		case KeyLevel:
			key.Level += narrow[int16](r)
		case KeyX:
			key.X += narrow[int32](r)
		case KeyY:
			key.Y += narrow[int32](r)
		case KeyType:
			key.Type += event.Type(narrow[int16](r))
		}
	}
	return key
}

func (r *reader) bins() []Bin {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	bins := make([]Bin, n)
	next := 0
	for i := range bins {
		bins[i].Bin = next + r.within(BinCount, "an unknown bin")
		bins[i].Count = r.int()
		next = bins[i].Bin + 1
		if bins[i].Bin >= BinCount || bins[i].Count == 0 {
			r.fail("an impossible bin")
		}
	}
	return bins
}

// zero reports whether r adds nothing.
func (r *Row) zero() bool {
	return r.Refs == 0 && len(r.Bins) == 0 && !slices.ContainsFunc(r.Sums, func(v int64) bool { return v != 0 })
}
