package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// addresses hands out loopback addresses for processes that are started on them
// again and again.
type addresses struct {
	next int
}

// Ports below those that the kernel gives to outgoing connections: one of those
// could sit on a dead server's port when it comes back.
const (
	lowestPort  = 15_000
	highestPort = 30_000
)

// newAddresses begins anywhere, since runs may go on side by side.
func newAddresses() *addresses {
	return &addresses{next: lowestPort + rand.IntN(highestPort-lowestPort)}
}

// take returns an address that nobody listens on.
func (a *addresses) take() (string, error) {
	var config net.ListenConfig
	for range highestPort - lowestPort {
		port := a.next
		if a.next++; a.next == highestPort {
			a.next = lowestPort
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return "", err
		}
		return address, nil
	}
	return "", errors.New("no port is free")
}
