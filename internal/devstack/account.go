package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that PostgreSQL runs as when we are root, which it
// refuses to be. A nil account is the current user.
type account struct {
	name     string
	uid, gid uint32
}

// serverAccount chooses the user: nil for everybody but root.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil means the current user, and has methods
	}
	for _, name := range []string{"postgres", "nobody"} {
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(entry.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(entry.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgresql refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// attributes are those of a child that runs as the account. Its own session
// keeps the terminal's Ctrl-C away from it: we stop it when its clients are gone.
func (a *account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives path to the account. Only what we have made ourselves may be given
// away: a directory that was there belongs to somebody.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// dirMode is the mode of directories that we make above the cluster's own.
func (a *account) dirMode() os.FileMode {
	if a == nil {
		return 0o700
	}
	return 0o711
}

// reach tells whether the account can walk to dir. Only x of each directory on
// the way matters.
func (a *account) reach(dir string) error {
	if a == nil {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if !a.enters(info) {
			return fmt.Errorf("postgresql runs as user %s, which may not enter %s (mode %s): choose a directory elsewhere, such as /var/lib/nexero",
				a.name, at, info.Mode())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// enters applies the kernel's rule: the first class that fits decides, also when a
// later one would allow more. Further groups are not ours, the child has none.
func (a *account) enters(info os.FileInfo) bool {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case stat.Uid == a.uid:
		return mode&0o100 != 0
	case stat.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
