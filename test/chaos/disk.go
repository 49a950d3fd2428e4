package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// disk is a file system of its own below a stand, small enough to be filled. It
// is a file that is mounted, so a sync goes to this machine's real disk.
type disk struct {
	dir   string // where it is mounted
	image string
}

// Sizes are those of an empty store, what a stand of ten rounds writes, and room.
const (
	natsDiskBytes     = 256 << 20
	databaseDiskBytes = 512 << 20
	diskPatience      = time.Minute
)

// newDisk makes a file system and mounts it on a new directory.
func newDisk(ctx context.Context, dir string, size int64) (*disk, error) {
	ctx, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	d := &disk{dir: dir, image: dir + ".image"}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Truncate(d.image, size), os.Mkdir(dir, 0o711)); err != nil { //nolint:gosec // PostgreSQL runs as another user
		return nil, err
	}
	for _, step := range [][]string{
		// No block is kept back for root: NATS and the ballast are root's alike.
		{"mkfs.ext4", "-q", "-F", "-m", "0", d.image},
		{"mount", "-o", "loop", d.image, dir},
	} {
		if output, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return d, fmt.Errorf("%s: %w: %s", step[0], err, output)
		}
	}
	// PostgreSQL wants an empty directory.
	return d, os.Remove(filepath.Join(dir, "lost+found"))
}

// unmount takes the file system away; the image stays. It waits for nobody:
// what is still open keeps it alive until it is closed.
func (d *disk) unmount() error {
	err := syscall.Unmount(d.dir, syscall.MNT_DETACH)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) {
		return nil // it is not mounted any more
	}
	return err
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill takes all the room that is left.
func (d *disk) fill() (err error) {
	file, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	at := int64(0)
	for size := int64(64 << 20); size >= 1<<10; {
		err := syscall.Fallocate(int(file.Fd()), 0, at, size)
		switch {
		case err == nil:
			at += size
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("fill %s: %w", d.dir, err)
		}
	}
	return file.Sync()
}

// free gives the room back.
func (d *disk) free() error {
	err := os.Remove(d.ballast())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// noDisks says why a stand cannot have disks of its own, or "". It tries.
//
//nolint:gochecknoglobals // what a machine can do does not change
var noDisks = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "only root may mount a small disk"
	}
	dir, err := os.MkdirTemp("", "nexero-chaos-disk-")
	if err != nil {
		return err.Error()
	}
	const size = 16 << 20
	d, err := newDisk(context.Background(), filepath.Join(dir, "disk"), size)
	if err == nil {
		err = d.unmount()
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return "a small disk cannot be mounted: " + err.Error()
	}
	return ""
})

// mountDisks puts the data of NATS and of PostgreSQL on disks of their own,
// where that is possible.
func (s *stand) mountDisks(ctx context.Context) error {
	if noDisks() != "" {
		return nil
	}
	for _, one := range []struct {
		under **disk
		name  string
		size  int64
	}{{&s.natsDisk, "jetstream", natsDiskBytes}, {&s.databaseDisk, "postgres", databaseDiskBytes}} {
		var err error
		if *one.under, err = newDisk(ctx, filepath.Join(s.dir, one.name), one.size); err != nil {
			return err
		}
	}
	return nil
}

// unmountDisks is for a stand whose processes have ended.
func (s *stand) unmountDisks() error {
	var errs []error
	for _, d := range []*disk{s.natsDisk, s.databaseDisk} {
		if d != nil {
			errs = append(errs, d.unmount())
		}
	}
	return errors.Join(errs...)
}
