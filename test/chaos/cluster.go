package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// nodes is how many NATS servers a cluster has.
const nodes = 3

// cluster is what a stand has beyond its first NATS server. Nil is a stand with
// that one only; all methods may be called on it.
type cluster struct {
	peers   []*process // servers 1 and 2
	servers []*natsServer
	// routes are the lines between servers: [i][j] is by which i finds j.
	routes [nodes][nodes]*link.Link
}

const clusterConfig = `cluster {
  name: chaos
  listen: %q
  advertise: %q
  no_advertise: true
  routes: [%s]
}
`

func (c *cluster) size() int {
	if c == nil {
		return 1
	}
	return nodes
}

func (c *cluster) replicas() string { return fmt.Sprintf("NEXERO_QUEUE_REPLICAS=%d", c.size()) }

// natsServers are all of the stand, the first one first.
func (s *stand) natsServers() []*natsServer {
	if s.cluster == nil {
		return []*natsServer{s.nats}
	}
	return append([]*natsServer{s.nats}, s.cluster.servers...)
}

// queueURL is where the harness itself finds the servers: past all lines.
func (s *stand) queueURL() string {
	var urls []string
	for _, server := range s.natsServers() {
		urls = append(urls, server.url(server.client))
	}
	return strings.Join(urls, ",")
}

// queueNodes are the processes of the servers, the first one first.
func (s *stand) queueNodes() []*process {
	if s.cluster == nil {
		return []*process{s.queue}
	}
	return append([]*process{s.queue}, s.cluster.peers...)
}

// links are those by which a server finds others and is found.
func (c *cluster) links(node int) []*link.Link {
	var all []*link.Link
	for i := range nodes {
		if i != node {
			all = append(all, c.routes[i][node], c.routes[node][i])
		}
	}
	return slices.DeleteFunc(all, func(on *link.Link) bool { return on == nil })
}

// queueRuns reports whether the server, or two of a cluster that hear each
// other, could answer.
func (s *stand) queueRuns() bool {
	up := func(p *process) bool { return p.running() && !p.isFrozen() }
	if s.cluster == nil {
		return up(s.queue)
	}
	processes := s.queueNodes()
	for i := range nodes {
		for j := range i {
			if up(processes[i]) && up(processes[j]) && s.cluster.routes[i][j].Passes() && s.cluster.routes[j][i].Passes() {
				return true
			}
		}
	}
	return false
}

func (c *cluster) stop() {
	if c == nil {
		return
	}
	for node := range nodes {
		for _, on := range c.links(node) {
			on.Stop()
		}
	}
}

// startQueue starts the NATS server, or all of a cluster, and waits until a
// cluster can make streams.
func (s *stand) startQueue(ctx context.Context) error {
	if s.cluster == nil {
		return s.queue.start()
	}
	if err := s.configureCluster(ctx); err != nil {
		return err
	}
	if err := s.raiseQueue(); err != nil {
		return err
	}
	for _, server := range s.natsServers() {
		if err := poll(ctx, raisePatience, "the cluster to have a leader", func() (bool, error) {
			_, err := get(ctx, "http://"+server.monitor+"/healthz")
			return err == nil, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// raiseQueue starts what is dead of it, and lets servers find each other.
func (s *stand) raiseQueue() error {
	if s.cluster != nil {
		for node := range nodes {
			for _, on := range s.cluster.links(node) {
				on.Pass()
			}
		}
		for _, peer := range s.cluster.peers {
			if err := peer.start(); err != nil {
				return err
			}
		}
	}
	return s.queue.start()
}

// configureCluster describes two further servers, and the lines between all.
func (s *stand) configureCluster(ctx context.Context) error {
	c := s.cluster
	for node := 1; node < nodes; node++ {
		name := fmt.Sprintf("nats-%d", node)
		dir := filepath.Join(s.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		server, err := newNATSServer(dir, s.addrs)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, server)
		c.peers = append(c.peers, s.newProcess(name, "nats-server", []string{"-c", server.configPath}, nil))
	}
	var listen [nodes]string
	for node := range nodes {
		var err error
		if listen[node], err = s.addrs.take(); err != nil {
			return err
		}
	}
	for i := range nodes {
		for j := range nodes {
			if i == j {
				continue
			}
			var err error
			if c.routes[i][j], err = link.Open(ctx, listen[j]); err != nil {
				return err
			}
		}
	}
	for node, server := range s.natsServers() {
		if err := c.join(node, server, listen[node], s.nats.password); err != nil {
			return err
		}
	}
	return nil
}

// join adds to a server's configuration where the others are: behind lines, and
// nowhere else, so what it tells others of itself leads nowhere.
func (c *cluster) join(node int, server *natsServer, listen, password string) error {
	text, err := os.ReadFile(server.configPath)
	if err != nil {
		return err
	}
	var routes []string
	for other, on := range c.routes[node] {
		if other != node {
			routes = append(routes, fmt.Sprintf("%q", "nats://"+on.Addr()))
		}
	}
	config := strings.Replace(string(text), "server_name: chaos", fmt.Sprintf("server_name: chaos-%d", node), 1)
	config = strings.Replace(config, server.password, password, 1)
	server.password = password
	config += fmt.Sprintf(clusterConfig, listen, net.JoinHostPort("127.0.0.1", "9"), strings.Join(routes, ", "))
	return os.WriteFile(server.configPath, []byte(config), 0o600) //nolint:gosec // a path that the stand made
}
