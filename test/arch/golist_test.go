package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/nexero-vr/nexero"

// root is the directory of go.mod, from where go test runs this package.
const root = "../.."

// pkg is a package of the module as go list describes it.
type pkg struct {
	ImportPath string   `json:"ImportPath"`
	Name       string   `json:"Name"`
	Imports    []string `json:"Imports"` // outside its tests

	path string // ImportPath without the module
}

// ours returns the packages of the module that p imports outside its tests.
func (p *pkg) ours() []string {
	var ours []string
	for _, imported := range p.Imports {
		if path, ok := strings.CutPrefix(imported, module+"/"); ok {
			ours = append(ours, path)
		}
	}
	return ours
}

// packages returns every package of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := listOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var listOnce = sync.OnceValues(func() ([]pkg, error) {
	out, err := goList("-json=ImportPath,Name,Imports", "./...")
	if err != nil {
		return nil, err
	}
	var all []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		p.path = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
})

// linked returns the packages that the program at path links, by path.
func linked(t *testing.T, path string) map[string]bool {
	t.Helper()
	out, err := goList("-deps", "-f", "{{.ImportPath}}", "./"+path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

func goList(args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = exit.Stderr
		}
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(args, " "), err, stderr)
	}
	return out, nil
}

// walk calls f with every file of the tree that may be committed, by its path
// from the root with slashes.
func walk(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != "." && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci" {
				return filepath.SkipDir
			}
			return nil
		}
		f(filepath.ToSlash(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
