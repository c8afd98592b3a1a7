package walve_test

import (
	"testing"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// handshaken returns the two ends of a connection in memory that have done
// their opening handshake: a zero Dialer and a zero Listener.
func handshaken(t testing.TB) (client, server *walve.Conn) {
	t.Helper()
	inner := newMemListener()
	ln := walve.NewListener(inner)
	t.Cleanup(func() { ln.Close() })
	near, far := memconn.Pipe()
	inner.conns <- far
	client, err := new(walve.Dialer).Handshake(t.Context(), near, "ws://in.memory/")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, accepted.(*walve.Conn)
}
