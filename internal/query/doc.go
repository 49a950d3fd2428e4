// Package query is the read API: what the tables hold, over HTTP, for programs
// and browsers that do not speak SQL.
//
//	GET /api/v1/sessions/{id}  one session: when, where, what was looked at
//	GET /api/v1/rejections     events that are not stored as their clients meant them
//
// What it promises:
//
//   - Every answer is about the tenant of the request's key, and a read names
//     that tenant down to its SQL. What another tenant has is not there: 404,
//     the same as what nobody has.
//   - A listing goes on where it ended, by an opaque cursor. A cursor says where
//     and never whose, and belongs to the conditions that it was made under.
//   - Reads are bounded: rows of an answer, length of a statement, requests at
//     once. What is beyond is refused with 503 and Retry-After.
//   - Errors have the shape that the edge's have: RFC 9457 with code and
//     correlation id.
//
// It writes nothing, and its database sessions could not.
package query
