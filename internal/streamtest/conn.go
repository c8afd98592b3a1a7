// Package streamtest is for tests of Streams.
package streamtest

import (
	"errors"
	"sync"
	"time"

	"github.com/bodokaiser/walve/internal/stream"
)

// A Conn makes a net.Conn of a Stream. A Stream has one Read and one Write at a
// time: a second one, which golang.org/x/net/nettest has, waits here, as it
// does for its turn in a walve.Conn.
type Conn struct {
	stream.Stream
	r, w sync.Mutex
}

func (c *Conn) Read(p []byte) (int, error) {
	c.r.Lock()
	defer c.r.Unlock()
	return c.Stream.Read(p)
}

func (c *Conn) Write(p []byte) (int, error) {
	c.w.Lock()
	defer c.w.Unlock()
	return c.Stream.Write(p)
}

func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
