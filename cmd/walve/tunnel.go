package main

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodokaiser/walve"
)

// closeWriter is what a local end of a tunnel needs beyond net.Conn: a
// *net.TCPConn and a *net.UnixConn have it.
type closeWriter interface {
	net.Conn
	CloseWrite() error
}

// A tunnel carries bytes between a WebSocket and a local socket, each direction
// until its own end. What is cut on one side is cut on the other: an error never
// becomes a clean end.
type tunnel struct {
	ws        *walve.Conn
	local     closeWriter
	halfClose bool             // the other end of ws knows half-close
	failCode  walve.StatusCode // what ws is told when local fails

	sent, received atomic.Int64 // to and from ws

	mu     sync.Mutex
	failed error // the first failure; nil: none
	ending bool  // sending to ws is to end: nobody there takes it
}

// run copies until both directions have ended, and returns the first failure.
func (t *tunnel) run() error {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		t.send()
	}()
	t.receive(sent)
	<-sent
	t.ws.Close()
	t.linger()
	t.local.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// send copies from local to ws, with splice where there is no TLS and no
// masking, and tells ws its end.
func (t *tunnel) send() {
	for {
		// The direct call, not io.Copy: the error is then either ws's, of a
		// write, or local's.
		n, err := t.ws.ReadFrom(t.local)
		t.sent.Add(n)
		switch {
		case err == nil:
			if err := t.ws.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.fail(err)
			}
			return
		case isWrite(err):
			// A foreign peer has closed: what it sent before is still on its
			// way to local, and receive tells whether it ended well.
			t.mu.Lock()
			ending := t.ending
			t.mu.Unlock()
			if !errors.Is(err, net.ErrClosed) && !(ending && errors.Is(err, os.ErrDeadlineExceeded)) {
				t.fail(err)
			}
			return
		case errors.Is(err, os.ErrDeadlineExceeded): // see interrupt
			t.local.SetReadDeadline(time.Time{})
			t.mu.Lock()
			ending := t.ending
			t.mu.Unlock()
			if ending {
				return
			}
		default:
			t.fail(err)
			return
		}
	}
}

// receive copies from ws to local, and tells local its end.
func (t *tunnel) receive(sent <-chan struct{}) {
	for {
		n, err := t.ws.WriteTo(t.local)
		t.received.Add(n)
		switch {
		case err == nil:
			t.local.CloseWrite() // fails only if local is gone, which send sees
			if !t.halfClose {
				t.end()
				return
			}
			t.watch(sent)
			return
		case isWrite(err):
			// Local takes no more. What it sent before that, and whether it
			// ended well, is known to send in no time.
			select {
			case <-sent:
			case <-time.After(time.Second):
			}
			t.fail(err)
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.ws.SetReadDeadline(time.Time{})
		default:
			t.fail(err)
			return
		}
	}
}

// linger reads away what local still sends, until it has ended or for a while:
// closing with input unread, or that comes later, resets the connection, and
// local would lose what it has not read yet of the bytes that came from ws.
func (t *tunnel) linger() {
	until := time.Now().Add(lingerTime)
	buf := make([]byte, 4<<10)
	for time.Now().Before(until) {
		t.local.SetReadDeadline(until)
		for {
			_, err := t.local.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break // also: see interrupt
			}
			if err != nil {
				return
			}
		}
	}
}

const watchInterval = 3 * time.Second

// watch has a tunnel whose peer has ended its direction fail when the
// connection does: send may wait for local, and nobody else reads from ws.
func (t *tunnel) watch(sent <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-sent
		cancel()
	}()
	for {
		select {
		case <-sent:
			return
		case <-time.After(watchInterval):
		}
		// Waits for as long as it takes: the peer may be held up.
		if err := t.ws.Ping(ctx); err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) { // send has ended too, or fail has closed it
				t.fail(err)
			}
			return
		}
	}
}

// isWrite tells the two ends of a copy apart.
func isWrite(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// fail ends both sides with an error; err is the cause.
func (t *tunnel) fail(err error) {
	t.mu.Lock()
	first := t.failed == nil
	if first {
		t.failed = err
	}
	t.mu.Unlock()
	if first {
		t.ws.CloseWithStatus(t.failCode, "the other side of the tunnel failed")
		abort(t.local)
	}
}

// abort closes c so that its peer does not take that for the end of the
// stream, where the network can tell: on TCP.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// end ends send without an error.
func (t *tunnel) end() {
	t.mu.Lock()
	t.ending = true
	t.mu.Unlock()
	t.local.SetReadDeadline(time.Unix(1, 0))
	t.ws.SetWriteDeadline(time.Now().Add(time.Second)) // it may be in the middle of a frame that nobody takes
}

// interrupt has the two copies say how far they are: a deadline that has passed
// ends them, loses nothing, and they go on. So bytes are counted as they pass
// without a counter in their way, which would keep the kernel from moving them.
func (t *tunnel) interrupt() {
	past := time.Unix(1, 0)
	t.local.SetReadDeadline(past)
	t.ws.SetReadDeadline(past)
}

// cut ends the tunnel with 1001 because this process ends.
func (t *tunnel) cut() {
	t.mu.Lock()
	if t.failed == nil {
		t.failed = errStopped
	}
	t.mu.Unlock()
	t.ws.CloseWithStatus(walve.StatusGoingAway, "shutting down")
	abort(t.local)
}

var errStopped = errors.New("cut: this side shuts down")
