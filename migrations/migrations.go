// Package migrations holds the schema of the database as numbered SQL files,
// forward only. A file that has been released is never edited: the next change
// is the next number. internal/postgres applies them under an advisory lock.
package migrations

import "embed"

// Files are the migrations, named NNNN_what.sql.
//
//go:embed *.sql
var Files embed.FS
