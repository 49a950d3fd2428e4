package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/gofrs/flock"
)

const (
	// fetchTimeout bounds a download of some 30 MB and its unpacking.
	fetchTimeout = 10 * time.Minute

	fetchLockTick = 200 * time.Millisecond

	// Names below the directory that a fetch works in.
	fetchedServer = "server"
	fetchedData   = "data"
	fetchedCache  = "archive"
)

// fetcher downloads server binaries when the machine has none.
//
// The library that knows where they are to be had is used for nothing else: it
// refuses root, clears its directories at every start and deletes data of another
// version. So it runs in a child process, as the user that the server will have,
// in a directory that holds nothing of value, and what it unpacked is moved away
// from there.
type fetcher struct {
	account *account
	// command makes this program call FetchMain; empty is no download.
	command []string
	// dir keeps what was downloaded, by version.
	dir string
}

// newFetcher completes the configuration.
func newFetcher(account *account, cfg PostgresConfig) (fetcher, error) {
	f := fetcher{account: account, command: cfg.FetchCommand, dir: cfg.CacheDir}
	if len(f.command) == 0 || f.dir != "" {
		return f, nil
	}
	if account != nil {
		f.dir = "/var/cache/nexero/postgresql" // root's own cache is closed to the server
		return f, nil
	}
	dir, err := os.UserCacheDir()
	f.dir = filepath.Join(dir, "nexero", "postgresql")
	return f, err
}

// versionFor is what is downloaded for data of a major version; 0 is no data yet.
func versionFor(major int) (embeddedpostgres.PostgresVersion, error) {
	versions := map[int]embeddedpostgres.PostgresVersion{
		0: embeddedpostgres.V17, 15: embeddedpostgres.V15, 16: embeddedpostgres.V16,
		17: embeddedpostgres.V17, 18: embeddedpostgres.V18,
	}
	version, ok := versions[major]
	if !ok {
		return "", fmt.Errorf("no version %d to download", major)
	}
	return version, nil
}

// fetch returns the directory with the programs, from the cache if it can.
func (f fetcher) fetch(ctx context.Context, major int) (binDir string, err error) {
	version, err := versionFor(major)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(f.dir, f.account.dirMode()); err != nil {
		return "", err
	}
	if err := f.account.reach(f.dir); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	lock := flock.New(filepath.Join(f.dir, lockName))
	if _, err := lock.TryLockContext(ctx, fetchLockTick); err != nil {
		return "", fmt.Errorf("wait for another download: %w", err)
	}
	defer lock.Close() // it ends with us in any case

	kept := filepath.Join(f.dir, string(version))
	if _, err := os.Stat(kept); err == nil {
		return filepath.Join(kept, "bin"), nil
	}
	if err := f.download(ctx, version, kept); err != nil {
		return "", fmt.Errorf("download postgresql %s: %w", version, err)
	}
	return filepath.Join(kept, "bin"), nil
}

// download runs the child in a fresh directory and keeps the server if all went
// well, so that what is kept is complete.
func (f fetcher) download(ctx context.Context, version embeddedpostgres.PostgresVersion, kept string) (err error) {
	work, err := os.MkdirTemp(f.dir, "unfinished-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := f.account.own(work); err != nil {
		return err
	}
	self, err := selfPath()
	if err != nil {
		return err
	}
	args := append(append([]string{}, f.command...), work, string(version))
	cmd := f.account.command(ctx, work, self, args...)
	cmd.Env = append(os.Environ(), cmd.Env...) //nolint:forbidigo // handed on whole: the way to the network may be in there
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(string(text)))
	}
	return os.Rename(filepath.Join(work, fetchedServer), kept)
}

// selfPath leads to this program. On Linux it does so without the directories in
// which the program lies, that an unprivileged user might not enter.
func selfPath() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// FetchMain is the child's part of a download: a program calls it when it is run
// with PostgresConfig.FetchCommand, with the arguments that follow. It unpacks
// the server below the directory it is given and proves that it starts. Messages
// go to out.
//
// The tests have no network and put an archive of their own in the place of the
// public one: that this one still has the versions we ask for is not tested.
func FetchMain(args []string, out io.Writer) error {
	return fetchFrom("", args, out)
}

// fetchFrom is FetchMain with another archive; empty is the public one.
func fetchFrom(repository string, args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("fetch postgresql: %d arguments, want a directory and a version", len(args))
	}
	work, version := args[0], args[1]
	port, err := freePort(context.Background(), 0)
	if err != nil {
		return err
	}
	cfg := embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.PostgresVersion(version)).
		Port(uint32(port)).
		Locale("C").
		RuntimePath(filepath.Join(work, fetchedServer)).
		DataPath(filepath.Join(work, fetchedData)).
		CachePath(filepath.Join(work, fetchedCache)).
		StartTimeout(readyWait).
		StartParameters(map[string]string{"listen_addresses": "localhost", "unix_socket_directories": ""}).
		Logger(out)
	if repository != "" {
		cfg = cfg.BinaryRepositoryURL(repository)
	}
	server := embeddedpostgres.NewDatabase(cfg)
	if err := server.Start(); err != nil {
		return fmt.Errorf("fetch postgresql: %w", err)
	}
	return server.Stop()
}
