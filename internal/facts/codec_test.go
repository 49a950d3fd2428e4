package facts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everything is a session that has some of all that a state can hold.
func everything() *State {
	return newTour().
		at(0, event.ZoneEnter, in("floor"), level(1), sequenced(1), shifted(-70_000)).
		at(500, event.Pose, position(130, -20), facing(90), level(1)).at(600, event.Pose, position(160, -20)).
		at(700, event.ZoneEnter, in("hall"), level(1), batch(2), received(4000)).
		at(900, event.Gaze, target("sea"), length(1500)).at(1000, event.Interaction, object("door"), action("open")).
		at(1100, event.Fixation, target("sea"), length(120), in("balcony")).
		at(2000, event.ZoneExit, in("hall"), level(1)).at(2500, event.IdleStart).at(3500, event.IdleEnd).
		at(200_000, event.Pose, position(-500, 8), sequenced(9)).at(200_100, event.CTA, action("book")).
		at(200_200, event.Gaze, target("oven")).at(200_300, event.Gaze, target("oven")).at(200_400, event.IdleStart).
		at(90_000_000, event.Pose).
		state(
			Report{ReceivedAt: micros(5000), BatchID: event.UUID{1, 2}, CustomerID: "anna", PropertyID: "loft", Device: "headset", Start: new(micros(-100))},
			Report{ReceivedAt: micros(6000), BatchID: event.UUID{3}, End: new(micros(300_000))},
		)
}

// sealedState is everything after it absorbed itself.
func sealedState() *State {
	s := everything()
	s.Absorb(everything())
	return s
}

// TestCodec_Golden fails when bytes that are stored change: then the form's
// version has to be raised, or old rows are misread.
func TestCodec_Golden(t *testing.T) {
	t.Parallel()
	for name, got := range map[string][]byte{
		"state":         everything().Append(nil),
		"sealed":        sealedState().Append(nil),
		"contributions": everything().Facts().Contributions(Property{Zone: time.FixedZone("", 19_800)}).Append(nil),
	} {
		file := filepath.Join("testdata", name+".hex")
		if *update {
			var lines strings.Builder
			for rest := got; len(rest) > 0; rest = rest[min(32, len(rest)):] {
				lines.WriteString(hex.EncodeToString(rest[:min(32, len(rest))]) + "\n")
			}
			if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s: %d bytes, which are not the %d in %s", name, len(got), len(want), file)
		}
	}
}

func TestDecode_GoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*State{"empty": New(), "everything": everything(), "sealed": sealedState()} {
		read, err := Decode(s.Append([]byte(nil)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(s.Facts(), read.Facts()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// What is no fact yet (an open run, the last pose, a visit just left) is
		// there too.
		more := newTour().at(200_500, event.Gaze, target("oven")).at(200_600, event.Gaze, target("oven")).
			at(200_900, event.Pose, position(0, 0)).at(201_000, event.ZoneExit, in("floor"))
		errWant, errGot := s.Extend(more.events, nil), read.Extend(more.events, nil)
		if !errors.Is(errGot, errWant) || !bytes.Equal(s.Append(nil), read.Append(nil)) {
			t.Errorf("%s: extended after reading it is another (%v, %v)", name, errWant, errGot)
		}
	}
}

func TestDecode_KnowsWhoHasJustLeft(t *testing.T) {
	t.Parallel()
	s, err := Decode(newTour().at(0, event.ZoneEnter, in("hall")).at(5000, event.ZoneExit, in("hall")).state().Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	back := newTour().at(5800, event.ZoneEnter, in("hall"), batch(2)).at(9000, event.ZoneExit, in("hall"), batch(2))
	if err := s.Extend(back.events, nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "visits", "hall/0 0-9000 9000 exit", visitLines(s.Facts()))
}

func TestDecode_RefusesWhatItDidNotWrite(t *testing.T) {
	t.Parallel()
	whole := everything().Append(nil)
	for n := range whole {
		if _, err := Decode(whole[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d bytes of %d: %v, want ErrDamaged", n, len(whole), err)
		}
	}
	if _, err := Decode(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte too many: %v, want ErrDamaged", err)
	}
	for at, what := range []string{"form", "definitions"} {
		other := bytes.Clone(whole)
		other[at]++
		if _, err := Decode(other); !errors.Is(err, ErrVersion) {
			t.Errorf("another version of the %s: %v, want ErrVersion", what, err)
		}
	}
	rows := everything().Facts().Contributions(Property{}).Append(nil)
	for n := range rows {
		if read, err := DecodeContributions(rows[:n]); err == nil && bytes.Equal(read.Append(nil), rows) {
			t.Fatalf("the first %d bytes of %d are as good as all", n, len(rows))
		}
	}
	rows[0]++
	if _, err := DecodeContributions(rows); !errors.Is(err, ErrVersion) {
		t.Errorf("contributions of another version: %v, want ErrVersion", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(New().Append(nil))
	f.Add(everything().Append(nil))
	f.Add(sealedState().Append(nil))
	f.Fuzz(func(t *testing.T, from []byte) {
		s, err := Decode(from)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error without a class: %v", err)
			}
			return
		}
		written := s.Append(nil)
		read, err := Decode(written)
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if !bytes.Equal(read.Append(nil), written) {
			t.Fatal("the bytes of a state depend on where it came from")
		}
		// Whatever was accepted can be used without harm.
		c := s.Facts().Contributions(Property{})
		if _, err := DecodeContributions(c.Append(nil)); err != nil {
			t.Fatalf("its contributions: %v", err)
		}
		more := newTour().at(5000, event.Pose, position(1, 1)).at(6000, event.ZoneEnter, in("hall")).
			at(7000, event.Gaze, target("sea"), length(5)).at(8000, event.ZoneExit)
		if err := s.Extend(more.events, nil); err != nil && !errors.Is(err, ErrRecompute) && !errors.Is(err, ErrSealed) {
			t.Fatal(err)
		}
		s.Absorb(read)
		s.Facts()
	})
}

func FuzzDecodeContributions(f *testing.F) {
	f.Add(Contributions(nil).Append(nil))
	f.Add(everything().Facts().Contributions(Property{}).Append(nil))
	f.Add(Difference(nil, everything().Facts().Contributions(Property{})).Append(nil))
	f.Fuzz(func(t *testing.T, from []byte) {
		c, err := DecodeContributions(from)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error without a class: %v", err)
			}
			return
		}
		written := c.Append(nil)
		read, err := DecodeContributions(written)
		if err != nil || !cmp.Equal(c, read) || !bytes.Equal(read.Append(nil), written) {
			t.Fatalf("a list that was read is written as another: %v", err)
		}
		if rest := Difference(c, read); len(rest) != 0 {
			t.Fatalf("a list minus itself is %v", rest)
		}
	})
}
