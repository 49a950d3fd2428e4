package link

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCutOn_SwallowsFromTheMatchOn(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	fired := l.CutOn(Said{Direction: ToServer, Pattern: "COMMIT", N: 2})
	say(t, client, "BEGIN COMMIT BEGIN COM")
	hear(t, server, "BEGIN COMMIT BEGIN COM")
	say(t, server, "COMMIT COMMIT COMMIT") // the other direction counts for nothing
	hear(t, client, "COMMIT COMMIT COMMIT")
	say(t, client, "MIT and more")
	wantFired(t, fired)
	wantReset(t, server, "MI")
	wantReset(t, client, "")
	if got := l.Counts(); got.Fired != 1 || got.Cut != 1 {
		t.Errorf("counts are %+v", got)
	}
	// It fires once.
	client, server = connect(t, l, taken)
	say(t, client, "COMMIT COMMIT COMMIT")
	hear(t, server, "COMMIT COMMIT COMMIT")
}

func TestCutOn_LaterStepsAreOfTheSameConnection(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	one, server1 := connect(t, l, taken)
	two, server2 := connect(t, l, taken)
	fired := l.CutOn(Said{Direction: ToServer, Pattern: "ask", N: 2}, Said{Direction: ToClient, Pattern: "answer", N: 2})
	say(t, server2, "answer answer ")
	hear(t, two, "answer answer ")
	say(t, one, "ask") // the first of all connections together
	hear(t, server1, "ask")
	say(t, two, "ask") // the second
	hear(t, server2, "ask")
	say(t, server1, "answer answer answer")
	hear(t, one, "answer answer answer")
	say(t, server2, "answer answer")
	wantFired(t, fired)
	wantReset(t, two, "answer answe")
	say(t, one, "the other goes on")
	hear(t, server1, "the other goes on")
}

func TestHoldOn_HoldsFromTheMatchOn(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	fired := l.HoldOn(Said{Direction: ToClient, Pattern: "word"})
	say(t, server, "a word and more")
	hear(t, client, "a wor")
	wantFired(t, fired)
	say(t, client, "question")
	if got := l.Counts(); got.Bytes != [2]int64{ToServer: 0, ToClient: 5} || got.Open != 1 {
		t.Errorf("counts are %+v", got)
	}
	l.Pass()
	hear(t, client, "d and more")
	hear(t, server, "question")
}

func TestPass_Disarms(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	l.CutOn(Said{Direction: ToServer, Pattern: "word"})
	say(t, client, "wor")
	hear(t, server, "wor")
	l.Pass()
	say(t, client, "d word")
	hear(t, server, "d word")
}

// A match is found where it is, however the bytes are spread over packets.
func TestLook_FindsTheNthInAnyPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching("[ab]{1,5}").Draw(t, "pattern")
		text := rapid.StringMatching("[ab]{0,60}").Draw(t, "text")
		n := rapid.IntRange(1, 4).Draw(t, "n")
		want := len(text)
		for from, left := 0, n; ; {
			at := strings.Index(text[from:], pattern)
			if at < 0 {
				break
			}
			from += at + len(pattern)
			if left--; left == 0 {
				want = from - 1
				break
			}
		}
		l := &Link{changed: make(chan struct{})}
		l.CutOn(Said{Direction: ToServer, Pattern: pattern, N: n})
		p := &pair{matched: make(map[*trigger]*progress)}
		passed := 0
		for passed < len(text) {
			piece := text[passed : passed+rapid.IntRange(1, len(text)-passed).Draw(t, "piece")]
			part, fired := l.look(p, ToServer, []byte(piece))
			passed += part
			if fired != nil {
				break
			}
		}
		if passed != want {
			t.Fatalf("%d bytes passed, want %d", passed, want)
		}
	})
}
