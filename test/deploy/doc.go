// Package deploy holds what runs Nexero in production, docker-compose.yml and
// the files below deploy/, against the programs: no container engine is needed
// to know that a variable is misspelt, a port leads nowhere, an image has no
// version or an alarm asks for a metric that nobody has.
//
// What it cannot know is whether the images can be pulled and started.
package deploy
