package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	superuser = "postgres"

	clusterName    = "cluster"
	unfinishedName = "cluster.unfinished"
	passwordName   = "password"
	portName       = "port"

	unfinishedPasswordName = "password.unfinished"
)

// files names what lies in a data directory: the cluster (PostgreSQL's own data
// directory) and beside it what we need to find it again.
type files struct {
	dir     string
	account *account
}

// cluster is what PostgreSQL calls its data directory.
func (f files) cluster() string { return filepath.Join(f.dir, clusterName) }

// openFiles makes dir if it is missing and checks that the server can live in it.
func openFiles(dir string, account *account) (files, error) {
	if dir == "" {
		return files{}, errors.New("no data directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return files{}, err
	}
	if err := os.MkdirAll(dir, account.dirMode()); err != nil {
		return files{}, err
	}
	// Links resolved, because the server reports its directory that way.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return files{}, err
	}
	return files{dir: dir, account: account}, account.reach(dir)
}

// major is the version that made the cluster; 0 when there is none yet. A
// directory with anything else in it is refused, never cleared.
func (f files) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(f.cluster(), "PG_VERSION"))
	if err == nil {
		major, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("%s: PG_VERSION: %w", f.cluster(), err)
		}
		return major, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return 0, err
	}
	ours := []string{lockName, unfinishedName, passwordName, unfinishedPasswordName, portName}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == "PG_VERSION":
			return 0, fmt.Errorf("%s is a cluster of another installation: give its address instead of its directory", f.dir)
		case !slices.Contains(ours, name):
			return 0, fmt.Errorf("%s holds %s and no cluster of ours: give an empty or a new directory", f.dir, name)
		}
	}
	return 0, nil
}

// create makes the cluster under another name and renames it when it is
// complete, so that a crash in between leaves nothing that looks like data. Only
// such a remainder, which no server ever ran on, is cleared.
func (f files) create(ctx context.Context, bin binaries) error {
	if err := f.createPassword(); err != nil {
		return err
	}
	unfinished := filepath.Join(f.dir, unfinishedName)
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return err
	}
	if err := f.account.own(unfinished); err != nil {
		return err
	}
	if _, err := f.account.output(ctx, f.dir, bin.path("initdb"),
		"--pgdata="+unfinished, "--username="+superuser, "--pwfile="+filepath.Join(f.dir, passwordName),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"); err != nil {
		return err
	}
	if err := os.Rename(unfinished, f.cluster()); err != nil {
		return err
	}
	return syncDir(f.dir)
}

// createPassword writes the superuser's password before the cluster exists, since
// initdb reads it from the file, as the user that it runs as. The file is durable
// and complete before anything can depend on it; an empty one is what a crash
// left of it.
func (f files) createPassword() error {
	switch known, err := f.password(); {
	case err == nil && known != "":
		return nil // of an attempt that did not finish
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	path := filepath.Join(f.dir, passwordName)
	unfinished := filepath.Join(f.dir, unfinishedPasswordName)
	if err := writeSynced(unfinished, rand.Text()+"\n"); err != nil {
		return err
	}
	if err := f.account.own(unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncDir(f.dir)
}

// writeSynced writes a file that only its owner can read, over what a crash left
// there, and returns when it is on disk.
func writeSynced(path, text string) error {
	if err := removeFile(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f files) password() (string, error) {
	text, err := os.ReadFile(filepath.Join(f.dir, passwordName))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// lastPort is the port that the server had the last time, 0 when unknown.
func (f files) lastPort() int {
	text, err := os.ReadFile(filepath.Join(f.dir, portName))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return port
}

// rememberPort keeps addresses valid over a restart, such as one in a shell's
// history. Losing it costs only that.
func (f files) rememberPort(port int) error {
	return os.WriteFile(filepath.Join(f.dir, portName), []byte(strconv.Itoa(port)+"\n"), 0o600)
}

// syncDir makes a rename in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
