package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
)

// natsServer is how the stand's NATS server is set up: the server of its own
// project, as deploy/nats.conf sets it up, on loopback.
type natsServer struct {
	client, monitor string // addresses
	password        string
	configPath      string
	store           string // directory of its streams
}

const natsConfig = `server_name: chaos
listen: %q
http: %q
max_payload: 8MB
jetstream {
  store_dir: %q
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 2GB
}
authorization {
  user: nexero
  password: %q
  timeout: 5
}
`

func newNATSServer(dir string, addresses *addresses) (*natsServer, error) {
	n := &natsServer{password: rand.Text(), configPath: filepath.Join(dir, "nats.conf"), store: filepath.Join(dir, "jetstream")}
	var err error
	if n.client, err = addresses.take(); err != nil {
		return nil, err
	}
	if n.monitor, err = addresses.take(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(natsConfig, n.client, n.monitor, n.store, n.password)
	if err := os.WriteFile(n.configPath, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configure nats: %w", err)
	}
	return n, nil
}

// url is where clients find the server, directly or over address.
func (n *natsServer) url(address string) string {
	return "nats://nexero:" + n.password + "@" + address
}
