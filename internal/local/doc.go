// Package local runs the pipeline, or part of it, in one process: what
// `nexero up` does and what the end-to-end tests start.
//
// It wires devstack's private NATS server and PostgreSQL with the same
// composition roots that the services use, in one order, and stops them in the
// other. What a second command needs to find a running pipeline is in run.json
// in the data directory; see [RunFile].
//
// A data directory belongs to one process at a time, which holds its lock. What
// is in it is kept: nothing here deletes data.
package local
