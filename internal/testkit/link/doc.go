// Package link is a TCP connection that goes wrong on command. A [Link] stands
// on loopback between a program and its NATS server or PostgreSQL and passes
// bytes on, until it is told to lose, hold, slow, delay or refuse them.
//
// What goes wrong is decided by commands and by what is said on the line, never
// by chance: [Link.CutOn] cuts exactly where the n-th occurrence of some bytes
// would have passed, however they are spread over packets. So "COMMIT happened
// and its answer was lost" is one call and not a matter of luck.
//
// A link behaves as a network does. Bytes that were taken from one side are
// never left out in the middle: they arrive later, or the connection ends.
package link
