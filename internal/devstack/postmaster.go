package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// postmasterFile is what a running server writes about itself.
type postmasterFile struct {
	pid, port int
}

// readPostmaster reads postmaster.pid of a cluster; ok is false when there is
// none, or one that is not complete yet.
func readPostmaster(cluster string) (file postmasterFile, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return postmasterFile{}, false, nil
	}
	if err != nil {
		return postmasterFile{}, false, err
	}
	lines := strings.Split(string(text), "\n")
	const pidLine, portLine = 0, 3
	if len(lines) <= portLine {
		return postmasterFile{}, false, nil
	}
	pid, errPID := strconv.Atoi(strings.TrimSpace(lines[pidLine]))
	port, errPort := strconv.Atoi(strings.TrimSpace(lines[portLine]))
	if err := errors.Join(errPID, errPort); err != nil {
		return postmasterFile{}, false, fmt.Errorf("%s: postmaster.pid: %w", cluster, err)
	}
	return postmasterFile{pid: pid, port: port}, true, nil
}

// alive tells whether a process with this number runs. A dead one whose parent
// does not collect it is not alive, though it still takes signals.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	stat, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return true
	}
	// "pid (name) state ...", and the name may hold anything.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// residence says whether a process works in a cluster's directory, as every
// process of its server does.
type residence int

const (
	unknownResidence residence = iota // this system does not tell
	livesInside
	livesElsewhere
)

func residenceOf(pid int, cluster string) residence {
	dir, err := os.Readlink(procPath(pid, "cwd"))
	switch {
	case err != nil:
		return unknownResidence
	case dir == cluster:
		return livesInside
	default:
		return livesElsewhere
	}
}

// processesIn lists the processes that work in a cluster's directory. ok is
// false when this system cannot tell, or hides some.
func processesIn(cluster string) (pids []int, ok bool) {
	if runtime.GOOS != "linux" {
		return nil, false
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, false
	}
	ok = true
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		switch residenceOf(pid, cluster) {
		case livesInside:
			pids = append(pids, pid)
		case unknownResidence:
			// Gone meanwhile, or closed to us: another user's, or, in a container
			// where root may not look, possibly the server's.
			if alive(pid) && sameUser(pid, cluster) {
				ok = false
			}
		case livesElsewhere:
		}
	}
	return pids, ok
}

// sameUser tells whether a process runs as the owner of a cluster.
func sameUser(pid int, cluster string) bool {
	process, errProcess := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	dir, errDir := os.Stat(cluster)
	if errProcess != nil || errDir != nil {
		return false
	}
	a, okA := process.Sys().(*syscall.Stat_t)
	b, okB := dir.Sys().(*syscall.Stat_t)
	return okA && okB && a.Uid == b.Uid
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}
