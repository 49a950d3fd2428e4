package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// level is what processes and stores hold while nothing happens.
type level map[string]float64

// Slack is how much more than before a process may hold at rest: a pool or the
// runtime keeps some of what it once needed. A leak grows with every fault.
const (
	slackGoroutines  = 20
	slackFiles       = 15
	slackConnections = 6
	// restPatience is how long things may take to be let go: pools close what
	// lies idle, servers notice that a client is gone.
	restPatience = 60 * time.Second
)

// measure reads what everything holds, and for each the slack.
func (s *stand) measure(ctx context.Context) (held, slack level, err error) {
	held, slack = level{}, level{}
	for _, service := range s.services {
		now, err := service.gauges(ctx)
		if err != nil {
			return nil, nil, err
		}
		held[service.name+" goroutines"], slack[service.name+" goroutines"] = now["go_goroutines"], slackGoroutines
		held[service.name+" files"], slack[service.name+" files"] = now["process_open_fds"], slackFiles
	}
	if err := s.measureDatabase(ctx, held, slack); err != nil {
		return nil, nil, err
	}
	return held, slack, s.measureNATS(ctx, held, slack)
}

// measureDatabase counts connections, and what must not be there at rest at all.
func (s *stand) measureDatabase(ctx context.Context, held, slack level) error {
	db, err := s.database.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	const query = `
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
       (SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'),
       (SELECT count(*) FROM pg_locks WHERE NOT granted),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
       (SELECT count(*) FROM pg_prepared_xacts)`
	var clients, idle, waiting, advisory, prepared float64
	if err := db.QueryRow(ctx, query).Scan(&clients, &idle, &waiting, &advisory, &prepared); err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	held["database connections"], slack["database connections"] = clients, slackConnections
	held["database transactions left open"] = idle
	held["database locks waited for"] = waiting
	held["database advisory locks"] = advisory
	held["database prepared transactions"] = prepared
	return nil
}

// measureNATS counts connections and consumers as the server sees them.
func (s *stand) measureNATS(ctx context.Context, held, slack level) error {
	for _, server := range s.natsServers() {
		for page, names := range map[string][]string{"connz": {"num_connections"}, "jsz": {"streams", "consumers"}} {
			text, err := get(ctx, "http://"+server.monitor+"/"+page)
			if err != nil {
				return fmt.Errorf("measure nats: %w", err)
			}
			var numbers map[string]any
			if err := json.Unmarshal(text, &numbers); err != nil {
				return fmt.Errorf("measure nats: %w", err)
			}
			for _, name := range names {
				n, _ := numbers[name].(float64)
				held["nats "+name] += n
			}
		}
	}
	// A watch that was given up is forgotten by the server after a while.
	slack["nats consumers"] = slackConnections
	return nil
}

// leaks compares what is held with the level before, and waits until it has come
// down. What it returns has not.
func (s *stand) leaks(ctx context.Context, before level) ([]string, error) {
	var left []string
	err := poll(ctx, restPatience, "the stand to hold no more than before", func() (bool, error) {
		now, slack, err := s.measure(ctx)
		if err != nil {
			left = nil
			return false, err
		}
		left = nil
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if now[name] > before[name]+slack[name] {
				left = append(left, fmt.Sprintf("leak: %s: %g, before the faults %g", name, now[name], before[name]))
			}
		}
		return len(left) == 0, nil
	})
	if len(left) > 0 {
		return left, nil
	}
	return nil, err
}
