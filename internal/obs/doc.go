// Package obs is what an operator sees of a process: its log, its metrics and
// whether it is alive and ready.
//
// [NewLogger] makes the one logger of a process, coloured on a terminal and
// JSON elsewhere. [NewRegistry] makes the one registry of metrics. [Listen]
// serves that registry, profiles and the answers to "alive?" and "ready?" on an address
// of its own, apart from clients' traffic.
//
// All three are made by main and handed down; the package has no globals. What
// is logged here and below carries no secrets: callers log names and counts,
// never bodies, keys or addresses of clients. Metric names begin with
// "nexero_" and have labels from closed lists only.
package obs
