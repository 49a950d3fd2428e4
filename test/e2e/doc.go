// Package e2e holds the tests that run the program as an operator would: built,
// started as processes, stopped by signals and killed, fed with a recording and
// checked in the database. The expected numbers come from the recording itself.
//
// `make test` uses a generated recording; `make e2e RECORDING=file` a real one.
package e2e
