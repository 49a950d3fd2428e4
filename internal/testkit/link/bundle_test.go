package link

import "testing"

// TestBundle_IsEachOfItsLinks says things to the bundle and looks at both links.
func TestBundle_IsEachOfItsLinks(t *testing.T) {
	t.Parallel()
	l1, taken1 := server(t)
	l2, taken2 := server(t)
	both := Bundle{l1, l2}
	one, _ := connect(t, l1, taken1)
	two, server2 := connect(t, l2, taken2)
	both.Refuse()
	both.Cut()
	wantReset(t, one, "")
	wantReset(t, two, "")
	wantReset(t, server2, "")
	for _, l := range both {
		wantRefused(t, l)
		if l.Passes() {
			t.Errorf("the link to %s passes what it refuses", l.target)
		}
	}
	both.Pass()
	two, server2 = connect(t, l2, taken2)
	both.Blackhole(ToServer)
	say(t, two, "question")
	say(t, server2, "answer")
	hear(t, two, "answer")
	for _, l := range both {
		if l.Passes() {
			t.Errorf("the link to %s passes what it holds", l.target)
		}
	}
	both.Pass()
	hear(t, server2, "question")
}

// TestBundle_CutOnTellsOnce arms all links, tells of the first that cuts, and
// lets the others cut as well until it is called off.
func TestBundle_CutOnTellsOnce(t *testing.T) {
	t.Parallel()
	l1, taken1 := server(t)
	l2, taken2 := server(t)
	both := Bundle{l1, l2}
	fired := both.CutOn(Said{Direction: ToServer, Pattern: "word"})
	one, server1 := connect(t, l1, taken1)
	say(t, one, "word")
	wantFired(t, fired)
	wantReset(t, server1, "wor")
	two, server2 := connect(t, l2, taken2)
	say(t, two, "word")
	wantReset(t, server2, "wor")
	held := both.HoldOn(Said{Direction: ToServer, Pattern: "word"})
	two, server2 = connect(t, l2, taken2)
	say(t, two, "word")
	wantFired(t, held)
	hear(t, server2, "wor")
	both.Pass() // the other link forgets what it waits for
	hear(t, server2, "d")
	one, server1 = connect(t, l1, taken1)
	say(t, one, "word")
	hear(t, server1, "word")
}
