// Package recording reads and writes recordings of what headsets send, and says
// what a recording must come to when it is played.
//
// A recording is gzip'd JSON Lines, one HTTP request a line, in time order:
//
//	{"at_ms": 5000, "method": "POST", "path": "/api/v1/unreal/tracking/batch",
//	 "headers": {"Content-Type": "application/json"}, "body": "<exact bytes as UTF-8 text>"}
//
// at_ms counts from the start of the recording and body is sent byte for byte,
// so playing a recording again is a repeat of the same requests and not new
// traffic. [Request.ForCopy] makes other traffic out of it.
//
// [Expect] is an oracle: it reads the bodies by itself, in a few plain lines,
// and shares no decoder with the pipeline that it judges.
package recording
