// Package stream is what a walve.Conn runs on: a byte stream whose deadlines
// are recoverable, over TCP, unix sockets, TLS and any other net.Conn.
package stream

import (
	"io"
	"net"
	"time"
)

// A Stream is a byte stream in both directions.
//
// One goroutine may call Read and one may call Write at a time; every other
// method may be called concurrently with everything. Deadlines are
// recoverable: a Read that times out has lost nothing and the next one goes
// on, a Write that times out returns exactly how many bytes of p were taken,
// and going on with the rest gives the peer every byte once. A deadline in the
// past interrupts a blocked call at once.
type Stream interface {
	io.Reader
	io.Writer

	// CloseWrite sends what Write has taken and then ends this direction
	// (FIN, close_notify) where the transport can; Read goes on. Over TLS it
	// waits until all that is with the system, at most until the write
	// deadline: it then returns a timeout, and the rest and the end are sent
	// all the same. A Write in progress, and every later one, fails.
	CloseWrite() error
	// Close releases everything, the ordinary way: what Write has taken is
	// still sent by the system. Read and Write are interrupted at once. Over
	// TLS it waits until all is with the system, whatever the deadline, for at
	// most 5 s; then it aborts and returns a timeout.
	Close() error
	// Abort releases everything at once and tells the peer by a reset where
	// the transport can. It also ends a Close that waits.
	Abort()

	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// A Flusher is a Stream whose Write returns before the system has the bytes.
// Flush waits for that, up to the write deadline; Close may then still wait.
type Flusher interface {
	Flush() error
}
