// Package caller calls a service over HTTP as the world outside does: with keys
// that are good and bad, from addresses, in pieces, at times that a test sets. It
// checks of every answer what all services promise of all answers, so that a test
// says only what is particular to it.
//
// It knows nothing of what it calls: a service is an [http.Handler], or an address.
package caller
