package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/sim"
)

const (
	// cellCM is the side of a cell of the heat map.
	cellCM = 25
	// floorWidth and floorHeight are the largest drawing, in columns and in cells:
	// a line shows two rows of cells.
	floorWidth, floorHeight = 76, 48
)

// floor is a heat map as it is drawn: seen from above, the longer side across.
type floor struct {
	width, height int
	side          int             // of the square that a cell of the drawing is, in cm
	inside        []bool          // of a room, or someone was there
	heat          []time.Duration // both by row, then column
	hottest       time.Duration
	labels        []floorLabel
}

// floorLabel is a room's name and the columns that it may take.
type floorLabel struct {
	line, column int
	text         string
}

// plot turns cells of a floor plan into those of the drawing.
type plot struct {
	minX, minY, maxX, maxY int // cells of the plan, inclusive
	turned                 bool
	scale                  int
}

// newFloor lays out the cells. Rooms, where they are known, bound the drawing.
func newFloor(cells []postgres.FloorCell, rooms []sim.Room) floor {
	p := newPlot(cells, rooms)
	var f floor
	f.width, f.height = p.size()
	f.side = p.scale * cellCM
	f.inside, f.heat = make([]bool, f.width*f.height), make([]time.Duration, f.width*f.height)
	for i := range rooms {
		f.addRoom(&p, &rooms[i])
	}
	for _, cell := range cells {
		if column, row, ok := p.place(int(cell.X), int(cell.Y)); ok {
			f.inside[row*f.width+column] = true
			f.heat[row*f.width+column] += cell.Time
		}
	}
	// One visitor who took off the headset is no reason to paint the rest dark.
	if warm := slices.Sorted(slices.Values(f.heat)); len(warm) > 0 {
		f.hottest = warm[len(warm)-1-len(warm)/200]
	}
	return f
}

func newPlot(cells []postgres.FloorCell, rooms []sim.Room) plot {
	p := plot{minX: math.MaxInt, minY: math.MaxInt, maxX: math.MinInt, maxY: math.MinInt, scale: 1}
	reach := func(x, y int) {
		p.minX, p.maxX = min(p.minX, x), max(p.maxX, x)
		p.minY, p.maxY = min(p.minY, y), max(p.maxY, y)
	}
	for i := range rooms {
		x0, y0, x1, y1 := roomCells(&rooms[i])
		reach(x0, y0)
		reach(x1, y1)
	}
	if len(rooms) == 0 {
		for _, cell := range cells {
			reach(int(cell.X), int(cell.Y))
		}
	}
	// X is forward and Y to the right. With X across it is turned by a quarter,
	// never mirrored.
	p.turned = p.maxX-p.minX < p.maxY-p.minY
	for width, height := p.size(); width > floorWidth || height > floorHeight; width, height = p.size() {
		p.scale++
	}
	return p
}

func (p *plot) size() (width, height int) {
	width, height = (p.maxX-p.minX)/p.scale+1, (p.maxY-p.minY)/p.scale+1
	if p.turned {
		width, height = height, width
	}
	return width, height
}

// place returns where a cell of the plan is drawn; ok is false outside.
func (p *plot) place(x, y int) (column, row int, ok bool) {
	if x < p.minX || x > p.maxX || y < p.minY || y > p.maxY {
		return 0, 0, false
	}
	if p.turned {
		return (y - p.minY) / p.scale, (p.maxX - x) / p.scale, true
	}
	return (x - p.minX) / p.scale, (y - p.minY) / p.scale, true
}

// roomCells returns the first and last cells of a room.
func roomCells(room *sim.Room) (x0, y0, x1, y1 int) {
	first := func(cm float64) int { return int(math.Floor(cm / cellCM)) }
	last := func(cm float64) int { return int(math.Ceil(cm/cellCM)) - 1 }
	return first(room.Min.X), first(room.Min.Y), last(room.Max.X), last(room.Max.Y)
}

func (f *floor) addRoom(p *plot, room *sim.Room) {
	x0, y0, x1, y1 := roomCells(room)
	for x := x0; x <= x1; x++ {
		for y := y0; y <= y1; y++ {
			if column, row, ok := p.place(x, y); ok {
				f.inside[row*f.width+column] = true
			}
		}
	}
	left, top, _ := p.place(x0, y0)
	right, bottom, _ := p.place(x1, y1)
	left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
	text := name(strings.ReplaceAll(room.Zone, "_", " "))
	// A letter at each side may stand outside.
	if fits := right - left + 3; len([]rune(text)) > fits {
		text = string([]rune(text)[:fits])
	}
	n := len([]rune(text))
	column := max(0, min(left+(right-left+1-n)/2, f.width-n))
	f.labels = append(f.labels, floorLabel{line: (top + bottom) / 4, column: column, text: text}) // a line has two rows
}

// shades are the colours of a terminal's 256 from no heat to most, and the
// letters where there are none.
const plainShades = ".:-=+*#%@"

func shades() []int { return []int{236, 18, 19, 56, 92, 128, 164, 199, 205, 209, 215, 221, 228} }

// shade returns which of n shades a cell has, -1 outside. Seconds differ by
// orders of magnitude, so the root of them is shown.
func (f *floor) shade(column, row, n int) int {
	switch {
	case row >= f.height || !f.inside[row*f.width+column]:
		return -1
	case f.hottest == 0 || f.heat[row*f.width+column] == 0:
		return 0
	}
	share := min(float64(f.heat[row*f.width+column])/float64(f.hottest), 1)
	return min(1+int(math.Sqrt(share)*float64(n-1)), n-1)
}

// draw returns the lines of the drawing, with a legend.
func (f *floor) draw(l look) string {
	var b strings.Builder
	for line := range (f.height + 1) / 2 {
		letters := f.letters(line)
		for column := range f.width {
			if l.colour {
				b.WriteString(f.coloured(column, line, letters[column]))
			} else {
				b.WriteRune(f.plain(column, line, letters[column]))
			}
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString("nobody ")
	if !l.colour {
		b.WriteString(plainShades)
	} else {
		for _, shade := range shades() {
			fmt.Fprintf(&b, "\x1b[48;5;%dm  \x1b[0m", shade)
		}
	}
	fmt.Fprintf(&b, " %s or more in a square of %d cm", length(f.hottest), f.side)
	return b.String()
}

// letters returns what names of rooms put into the columns of a line, blanks
// around them included, 0 for nothing.
func (f *floor) letters(line int) []rune {
	letters := make([]rune, f.width)
	for _, label := range f.labels {
		if label.line != line {
			continue
		}
		column := label.column - 1
		for _, letter := range " " + label.text + " " {
			if column >= 0 && column < f.width {
				letters[column] = letter
			}
			column++
		}
	}
	return letters
}

// plain draws the hotter of two cells.
func (f *floor) plain(column, line int, letter rune) rune {
	if letter != 0 {
		return letter
	}
	shade := max(f.shade(column, 2*line, len(plainShades)), f.shade(column, 2*line+1, len(plainShades)))
	if shade < 0 {
		return ' '
	}
	return rune(plainShades[shade])
}

// coloured draws two cells, one above the other, or a letter on them.
func (f *floor) coloured(column, line int, letter rune) string {
	palette := shades()
	upper, lower := f.shade(column, 2*line, len(palette)), f.shade(column, 2*line+1, len(palette))
	switch {
	case letter != 0 && letter != ' ':
		ground := max(upper, lower)
		if ground < 0 {
			return "\x1b[1m" + string(letter) + "\x1b[0m"
		}
		ink := 255
		if ground > len(palette)/2 {
			ink = 16 // black on what is bright
		}
		return fmt.Sprintf("\x1b[1;38;5;%d;48;5;%dm%c\x1b[0m", ink, palette[ground], letter)
	case upper < 0 && lower < 0:
		return " "
	case upper < 0:
		return fmt.Sprintf("\x1b[38;5;%dm▄\x1b[0m", palette[lower])
	case lower < 0:
		return fmt.Sprintf("\x1b[38;5;%dm▀\x1b[0m", palette[upper])
	default:
		return fmt.Sprintf("\x1b[38;5;%d;48;5;%dm▀\x1b[0m", palette[upper], palette[lower])
	}
}
