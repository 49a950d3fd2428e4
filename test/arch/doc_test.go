// Package arch checks what the compiler does not: which package may import
// which, what each program links, how sources are named and divided, and that
// every rule of docs/invariants.md is guarded by a test that names it.
//
// The tables below are the architecture. A change to one is a decision, and
// belongs in docs/decisions.
package arch
