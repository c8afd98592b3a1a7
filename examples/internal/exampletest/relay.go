package exampletest

import (
	"io"
	"math"
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
	hold   int64
	let    chan struct{} // closed by Release
}

// NewRelay listens until the test ends.
func NewRelay(t testing.TB) *Relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{URL: "http://" + ln.Addr().String() + "/", hold: math.MaxInt64, let: make(chan struct{})}
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
	t.Cleanup(func() { ln.Close(); r.Release() })
	return r
}

// Hold has connections from now on stop after n bytes for the client, until
// Release: what is sent by then is sent, however fast.
func (r *Relay) Hold(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = n
}

// Release ends Hold, for good.
func (r *Relay) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = math.MaxInt64
	select {
	case <-r.let:
	default:
		close(r.let)
	}
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
	target, hold := r.target, r.hold
	r.mu.Unlock()
	d, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer d.Close()
	var ways sync.WaitGroup
	ways.Go(func() {
		io.Copy(d, c)
		d.(*net.TCPConn).CloseWrite()
	})
	ways.Go(func() {
		if _, err := io.CopyN(c, d, hold); err == nil {
			<-r.let
		}
		io.Copy(c, d)
		c.(*net.TCPConn).CloseWrite()
	})
	ways.Wait()
}
