package faults_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// TestServerOutOfDescriptors: a server without descriptors keeps its
// connections, says why it accepts no more, and accepts again once it can.
func TestServerOutOfDescriptors(t *testing.T) {
	t.Parallel()
	const limit = 30
	server, at := startEcho(t, "ws", limit)
	d := newDialer(0)
	var conns []*walve.Conn
	for {
		c, err := connect(d, at, 3*time.Second)
		if err != nil {
			var e net.Error
			if !errors.As(err, &e) || !e.Timeout() {
				t.Errorf("dial failed with %v, want a timeout", err)
			}
			break
		}
		conns = append(conns, c)
		if len(conns) > limit {
			t.Fatal("no end of descriptors")
		}
	}
	for _, c := range conns {
		must(t, roundTrip(c, []byte("still here")))
	}
	for _, c := range conns[:len(conns)/2] {
		must(t, c.Close())
	}
	for range len(conns) / 4 {
		c, err := connect(d, at, timeout)
		must(t, err)
		defer c.Close()
	}
	for _, c := range conns[len(conns)/2:] {
		must(t, roundTrip(c, []byte("still here")))
		must(t, c.Close())
	}
	server.end(t)
	if !strings.Contains(server.stderr.String(), "too many open files") {
		t.Errorf("the server has not said what it lacks: %q", &server.stderr)
	}
}

// exhaustRole dials until it has no descriptors left, and then again: exhaust
// URL DESCRIPTORS. It prints the error.
func exhaustRole(args []string) error {
	if err := limitDescriptors(args[1]); err != nil {
		return err
	}
	d := newDialer(0)
	var conns []*walve.Conn
	for {
		c, err := connect(d, args[0], timeout)
		if err != nil {
			fmt.Println("exhausted", errors.Is(err, syscall.EMFILE), err)
			break
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		if err := errors.Join(roundTrip(c, []byte("still here")), c.Close()); err != nil {
			return err
		}
	}
	for i := 0; ; {
		// The closing handshakes end in the background.
		c, err := connect(d, args[0], timeout)
		if errors.Is(err, syscall.EMFILE) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		if i++; i == 2*len(conns) {
			return nil
		}
	}
}

// TestClientOutOfDescriptors: a dialer without descriptors returns the system's
// error, and works again once there are some.
func TestClientOutOfDescriptors(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		server, at := startEcho(t, scheme, 0)
		client := start(t, "exhaust", at, "40")
		if s := client.line(t, "exhausted"); !strings.HasPrefix(s, "true ") || !strings.Contains(s, "too many open files") {
			t.Errorf("dial failed with %q", s)
		}
		client.end(t)
		server.end(t)
	})
}
