// Package version says which build of Nexero this is, for log lines, metrics
// and answers.
//
// A release is stamped by the linker:
//
//	go build -ldflags "-X github.com/nexero-vr/nexero/internal/version.release=v1.2.3"
//
// Without the stamp the build tells what the Go toolchain recorded: the
// module's version when it was installed as a module, the commit when it was
// built in a checkout, "devel" when neither is known. The package keeps no
// state and its functions are safe for concurrent use.
package version

import (
	"runtime"
	"runtime/debug"
)

// release is empty unless the linker stamped it. A variable is the only thing
// that -X can write to.
var release string //nolint:gochecknoglobals // written by the linker, never by code

// unknown is the version of a build that was neither stamped nor recorded.
const unknown = "devel"

// shortCommit is how many characters of a commit a person needs.
const shortCommit = 12

// Build describes this binary.
type Build struct {
	// Version is the release, or "devel".
	Version string
	// Commit is the full hash of the commit, empty when it was not recorded.
	Commit string
	// Modified is true when the checkout had changes that no commit holds.
	Modified bool
	// Go is the toolchain's version.
	Go string
}

// Get returns the description of this binary.
func Get() Build {
	info, _ := debug.ReadBuildInfo()
	return describe(release, info)
}

// String returns the version and, where it was recorded, the commit: "v1.2.3",
// "devel 0123456789ab", "devel 0123456789ab+changes".
func (b Build) String() string {
	if b.Commit == "" {
		return b.Version
	}
	text := b.Version + " " + b.Commit[:min(len(b.Commit), shortCommit)]
	if b.Modified {
		text += "+changes"
	}
	return text
}

// describe prefers the stamp over what the toolchain recorded: a release built
// from an archive has no version control around it.
func describe(stamp string, info *debug.BuildInfo) Build {
	b := Build{Version: stamp, Go: runtime.Version()}
	if info != nil {
		if v := info.Main.Version; b.Version == "" && v != "(devel)" {
			b.Version = v
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Commit = setting.Value
			case "vcs.modified":
				b.Modified = setting.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = unknown
	}
	return b
}
