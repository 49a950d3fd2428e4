package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// What refusals may take: the request time-out of the stand's ingests, and what
// a busy machine needs to say it.
const (
	requestTimeout = 4 * time.Second
	refusalSlack   = time.Second
	// lostAnswers is how many PubAcks are lost on their way.
	lostAnswers = 20
)

// queueAway loses answers of NATS one by one, and then NATS itself.
//
// rule 1, rule 2
func queueAway() scenario {
	return scenario{
		name: "queue-away", minutes: time.Minute,
		about: "answers of NATS are lost one by one; then NATS is stopped in order under load, and started again",
		play:  playQueueAway,
	}
}

func playQueueAway(ctx context.Context, a *act) error {
	l, err := startLoad(ctx, a, headsets, meanPause)
	if err != nil {
		return err
	}
	memory := startSampler(ctx, a.stand, kindIngest)
	defer memory.finish()
	if err := a.loseAnswers(ctx, l); err != nil {
		return err
	}
	if _, err := a.queue.terminate(ctx, raisePatience); err != nil {
		return err
	}
	away := time.Now()
	if !pause(ctx, a.lasts) {
		return ctx.Err()
	}
	returned := time.Now()
	if err := a.queueReturns(ctx, l); err != nil {
		return err
	}
	// Attempts that began shortly before the return have their answers from after it.
	during := l.meter.between(away, returned.Add(-requestTimeout))
	a.show("away", "%s", returned.Sub(away).Round(time.Second))
	a.promise(during.others(http.StatusServiceUnavailable) == 0 && during.mute == 0, "attempts while it is away",
		"503 with Retry-After, each", "%s, %d without Retry-After", during, during.mute)
	a.promise(quantile(during.refused, 1) <= requestTimeout+refusalSlack, "time to these refusals",
		"within the request's deadline of "+requestTimeout.String(), "%s", quantiles(during.refused))
	a.flat(memory, kindIngest, "while it is away", away, returned)
	return l.finish()
}

// loseAnswers cuts the line of an ingest to NATS at a PubAck, again and again:
// the ingest cannot know what became of the message, and asks again with the
// same bytes while its clients wait.
func (a *act) loseAnswers(ctx context.Context, l *load) error {
	if !pause(ctx, warmUp) {
		return ctx.Err()
	}
	from, lost := time.Now(), 0
	before, err := a.ingestCounter(ctx, "nexero_queue_publishes_total", "outcome", "duplicate")
	if err != nil {
		return err
	}
	for n := range lostAnswers {
		on := a.of(kindIngest)[n%ingests].lines[toNATS]
		select {
		case <-on.CutOn(link.Said{Direction: link.ToClient, Pattern: link.PublishAnswered, N: 1}):
			lost++
		case <-time.After(ackWait):
		case <-ctx.Done():
			return ctx.Err()
		}
		on.Pass()
		// The next one while all is well again.
		if !pause(ctx, 1500*time.Millisecond) {
			return ctx.Err()
		}
	}
	after, err := a.ingestCounter(ctx, "nexero_queue_publishes_total", "outcome", "duplicate")
	if err != nil {
		return err
	}
	during := l.meter.between(from, time.Now().Add(-time.Second))
	a.show("PubAcks lost", "%d, of messages of which %.0f were then found to be stored already", lost, after-before)
	a.promise(lost > 0 && during.unwell() == 0, "posts while PubAcks are lost",
		"every one answered 202 (a session 201) at its first attempt", "%s, %s", during, quantiles(during.accepted))
	return nil
}

// queueReturns starts NATS and measures how soon posts are taken again.
func (a *act) queueReturns(ctx context.Context, l *load) error {
	if err := a.queue.start(); err != nil {
		return err
	}
	if err := poll(ctx, raisePatience, "NATS to answer for the stream", func() (bool, error) {
		err := a.withJetStream(ctx, func(js jetstream.JetStream) error {
			_, err := js.Stream(ctx, queue.StreamName)
			return err
		})
		return err == nil, err
	}); err != nil {
		return err
	}
	answers := time.Now()
	return a.accepting(ctx, l, "from NATS answering to the first 202 of each ingest", answers)
}

// accepting waits until each ingest has answered a post well since from.
func (a *act) accepting(ctx context.Context, l *load, what string, from time.Time) error {
	var when time.Time
	late, err := overdue(poll(ctx, resumePatience, what, func() (all bool, err error) {
		when, all = l.meter.firstAccepted(from, l.bases)
		return all, nil
	}))
	if err != nil {
		return err
	}
	took := when.Sub(from)
	a.promise(!late && took <= resumeWithin, what, "within "+resumeWithin.String(), "%s", took.Round(10*time.Millisecond))
	return nil
}

// withJetStream connects as an operator for the time of do.
func (s *stand) withJetStream(ctx context.Context, do func(jetstream.JetStream) error) error {
	connection, err := nats.Connect(s.nats.url(s.nats.client), nats.Timeout(lookPatience), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	return errors.Join(do(js), ctx.Err())
}
