// Package docs makes the pages of docs/ that say what the code says already:
// docs/configuration.md from the structs of internal/config, docs/metrics.md
// from what the services register.
//
// A page that is out of date fails; `make docs` writes it anew.
package docs
