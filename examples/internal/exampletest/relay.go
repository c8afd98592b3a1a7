package exampletest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// A Relay is an address that stays when what is behind it is replaced: a port
// that was given back may be somebody else's by the time it is asked for.
type Relay struct {
	URL string

	mu     sync.Mutex
	target string // host and port; empty: refuse
}

// NewRelay listens until the test ends.
func NewRelay(t testing.TB) *Relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{URL: "http://" + ln.Addr().String() + "/"}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { r.pass(c) })
		}
	})
	t.Cleanup(func() { ln.Close() })
	return r
}

// To sends connections from now on to the address of a URL, or refuses them
// if it is empty. Those that are there stay where they are.
func (r *Relay) To(t testing.TB, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = u.Host
}

func (r *Relay) pass(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	d, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer d.Close()
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		ways.Go(func() {
			io.Copy(way[0], way[1])
			way[0].(*net.TCPConn).CloseWrite()
		})
	}
	ways.Wait()
}
