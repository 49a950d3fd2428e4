// Package config turns flags, environment and a file into one typed struct per
// program.
//
// It is the only package that reads the environment. Each setting is one tagged
// field and has one name in three spellings: the field tagged "nats_url" is
// the flag --nats-url, the variable NEXERO_NATS_URL and the key nats_url of the
// YAML file that --config or NEXERO_CONFIG names. A flag wins over the
// environment, the environment over the file, the file over the default.
//
//	name     the setting's name; a struct field without it is a group
//	default  in the form a user would write, absent: the zero value
//	help     one sentence for --help and the generated reference
//	min, max inclusive bounds of numbers, durations and sizes
//	oneof    the values allowed, separated by commas
//	check    "address" (host:port) or "file" (a path, not the file's content)
//	reload   "true": a running program takes a new value on SIGHUP
//	require  on a group: settings in it that this program cannot do without
//
// The package promises that a value which is accepted is in bounds, that a
// mistake is named with the flag and the variable that can repair it, all
// mistakes at once, and that nothing misspelt is ignored: a NEXERO_ variable or
// a key of the file that no program of Nexero has is refused, with the name
// that was probably meant. Names of another program are fine, since one file
// and one environment serve them all.
//
// Secrets are types of their own, [Secret] and [ConnURL]. They print masked
// whatever prints them; only their Reveal gives the value away.
//
// Outside development a secret that stands in every tutorial is refused, in
// production one that is short as well, whichever setting holds it; and what
// only development may leave open, such as posting without a key, needs a
// second switch.
//
// A program that runs may load again and go on with [Adopt], which takes over
// what is tagged so and names what needs a restart.
//
// Loading is a function of its arguments: main passes [Environ], tests pass
// what they like. A loaded struct is plain data, owned by the caller.
package config
