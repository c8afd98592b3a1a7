package walve_test

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// checkLeaks fails t if goroutines of this package outlive it. What Close does
// in the background ends with both sides closed.
func checkLeaks(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var stacks string
		for range 600 {
			if stacks = ownGoroutines(); stacks == "" {
				return
			}
			time.Sleep(10 * time.Millisecond) // polls for the end; no test's result depends on how long
		}
		t.Errorf("goroutines left:\n%s", stacks)
	})
}

func ownGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var own []string
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i > 0 && strings.Contains(g, "walve.") && !strings.Contains(g, "testing.(*T).Run") && !strings.Contains(g, "testing.tRunner") {
			own = append(own, g)
		}
	}
	return strings.Join(own, "\n\n")
}

// pair makes two Conns of nc1, the client's, and nc2.
func pair(nc1, nc2 net.Conn, halfClose bool) (client, server *walve.Conn) {
	return walve.NewTestConn(nc1, walve.TestConfig{Client: true, HalfClose: halfClose}),
		walve.NewTestConn(nc2, walve.TestConfig{HalfClose: halfClose})
}

// tcpSockets returns the two ends of a TCP connection.
func tcpSockets(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	return socketPair(t, "tcp", "127.0.0.1:0")
}

func socketPair(t testing.TB, network, address string) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return <-dialled, accepted
}

// refusingAddr returns an address that refuses connections until t ends: the
// port of a client, which nobody else is given meanwhile.
func refusingAddr(t testing.TB) string {
	t.Helper()
	client, server := tcpSockets(t)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client.LocalAddr().String()
}

// A pairMaker makes the two ends of a transport, the client's first.
type pairMaker struct {
	name string
	make func(t testing.TB) (client, server net.Conn)
}

func rawPairs() []pairMaker {
	return []pairMaker{
		{"tcp", tcpSockets},
		{"unix", func(t testing.TB) (net.Conn, net.Conn) {
			return socketPair(t, "unix", t.TempDir()+"/s")
		}},
		{"mem", func(testing.TB) (net.Conn, net.Conn) { return memconn.Pipe() }},
		{"pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
	}
}

// TestNetConn is golang.org/x/net/nettest over a Conn on every transport that
// needs no handshake, both ways round.
func TestNetConn(t *testing.T) {
	checkLeaks(t)
	for _, p := range rawPairs() {
		for _, halfClose := range []bool{true, false} {
			for _, clientFirst := range []bool{true, false} {
				name := p.name
				if !halfClose {
					name += "/foreign"
				}
				if clientFirst {
					name += "/client as c1"
				} else {
					name += "/server as c1"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel() // they wait more than they work
					nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
						nc1, nc2 := p.make(t)
						client, server := pair(nc1, nc2, halfClose)
						c1, c2 = client, server
						if !clientFirst {
							c1, c2 = c2, c1
						}
						return c1, c2, func() { go c1.Close(); c2.Close() }, nil
					})
				})
			}
		}
	}
}
