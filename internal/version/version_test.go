package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	const commit = "0123456789abcdef0123456789abcdef01234567"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}
	}
	for _, test := range []struct {
		name  string
		stamp string
		info  *debug.BuildInfo
		want  Build
		text  string
	}{
		{
			name: "nothing recorded",
			want: Build{Version: "devel"}, text: "devel",
		},
		{
			name: "built in a checkout",
			info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs("true")},
			want: Build{Version: "devel", Commit: commit, Modified: true}, text: "devel 0123456789ab+changes",
		},
		{
			name: "installed as a module",
			info: &debug.BuildInfo{Main: debug.Module{Version: "v0.9.0"}},
			want: Build{Version: "v0.9.0"}, text: "v0.9.0",
		},
		{
			name: "stamp over module version", stamp: "v1.2.3",
			info: &debug.BuildInfo{Main: debug.Module{Version: "v0.9.0"}, Settings: vcs("false")},
			want: Build{Version: "v1.2.3", Commit: commit}, text: "v1.2.3 0123456789ab",
		},
		{
			name: "short commit", stamp: "v1.2.3",
			info: &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}}},
			want: Build{Version: "v1.2.3", Commit: "abc"}, text: "v1.2.3 abc",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.want.Go = runtime.Version()
			got := describe(test.stamp, test.info)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("describe (-want +got):\n%s", diff)
			}
			if got.String() != test.text {
				t.Errorf("Get().String() = %q, want %q", got.String(), test.text)
			}
		})
	}
}

func TestString_NeverEmpty(t *testing.T) {
	t.Parallel()
	if Get().String() == "" {
		t.Error("Get().String() is empty")
	}
}
