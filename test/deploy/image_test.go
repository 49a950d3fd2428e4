package deploy

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// instruction is one of deploy/Dockerfile: FROM, RUN, ... and what follows it.
type instruction struct {
	name, text string
	words      []string
}

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, "deploy/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", warning.Short)
	}
	var all []instruction
	for _, node := range parsed.AST.Children {
		one := instruction{name: strings.ToUpper(node.Value), text: node.Original}
		for word := node.Next; word != nil; word = word.Next {
			one.words = append(one.words, word.Value)
		}
		all = append(all, one)
	}
	return all
}

// The image holds the programs and nothing else, and none of them is root.
func TestDockerfile_FinalImage(t *testing.T) {
	t.Parallel()
	var user, from string
	var copied []string
	for _, one := range dockerfile(t) {
		switch one.name {
		case "FROM":
			from, user, copied = one.words[0], "", nil
			if from != "scratch" && !exactVersion.MatchString(from) {
				t.Errorf("%s has no exact version", one.text)
			}
		case "USER":
			user = one.words[0]
		case "ADD":
			t.Errorf("%s: ADD fetches and unpacks; COPY does what it says", one.text)
		case "COPY":
			copied = append(copied, one.words[len(one.words)-1])
		}
	}
	if from != "scratch" || user != "65532:65532" {
		t.Errorf("the image is made from %q and runs as %q", from, user)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/usr/local/bin/"}; !slices.Equal(copied, want) {
		t.Errorf("the image holds %v, want %v", copied, want)
	}
	for _, name := range []string{"ingest", "worker", "query", "migrate", "nexero"} {
		if service := project(t).Services[name]; service.User != user || !service.ReadOnly {
			t.Errorf("%s runs as %q, read only: %v", name, service.User, service.ReadOnly)
		}
	}
}

// A program that is linked to a C library finds none in an empty image.
func TestDockerfile_BuildsStaticPrograms(t *testing.T) {
	t.Parallel()
	var build string
	for _, one := range dockerfile(t) {
		if one.name == "RUN" && strings.Contains(one.text, "go build") {
			build = one.text
		}
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "internal/version.release=$VERSION", "-o /out/ ./cmd/..."} {
		if !strings.Contains(build, want) {
			t.Errorf("the build has no %s: %s", want, build)
		}
	}
	if !strings.Contains(read(t, "internal/version/version.go"), "release") {
		t.Error("internal/version has no variable release to set")
	}
}

// The compiler in the image is not older than what go.mod asks for.
func TestDockerfile_HasTheCompiler(t *testing.T) {
	t.Parallel()
	image := regexp.MustCompile(`golang:(\d+\.\d+)\.\d+-`).FindStringSubmatch(read(t, "deploy/Dockerfile"))
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if image == nil || module == nil || image[1] != module[1] {
		t.Errorf("the image builds with Go %v, go.mod says %v", image, module)
	}
}

// What a build sends is listed, so that a recording, a secret or the history
// never gets into a layer. Everything that is embedded has to be among it.
func TestDockerignore_LetsInWhatIsBuilt(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(read(t, ".dockerignore")), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
	if lines[0] != "*" {
		t.Fatal(".dockerignore does not begin with everything")
	}
	for _, needed := range []string{"go.mod", "go.sum", "api", "cmd", "internal", "migrations"} {
		if !slices.Contains(lines, "!"+needed) {
			t.Errorf("the build does not get %s", needed)
		}
	}
	embedded := regexp.MustCompile(`(?m)^//go:embed .*testdata`)
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, "internal", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		if embedded.Match(text) {
			t.Errorf("%s embeds testdata, which the build does not get", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
