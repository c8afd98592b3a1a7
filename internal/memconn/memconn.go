// Package memconn is a net.Conn in memory, for tests: a pair of ends that
// behave as those of a TCP connection do, and misbehave where a test says so.
//
// Everything that waits does so on channels, so that an end is durably blocked
// in the sense of testing/synctest when it was made in the bubble.
package memconn

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultBuffer is how many bytes a direction holds unless Buffer says
// otherwise.
const DefaultBuffer = 64 << 10

// Addr is the address of an end; the two ends of a Pipe are "a" and "b".
type Addr string

func (Addr) Network() string  { return "mem" }
func (a Addr) String() string { return string(a) }

// An Option changes a Pipe.
type Option func(*pipe)

// Buffer bounds what each direction holds to n bytes, at least 1.
func Buffer(n int) Option { return func(p *pipe) { p.size = max(n, 1) } }

// ResetUnread makes the end that closes reset the connection when there is
// input that it did not read, or when more comes, as TCP does: the peer then
// loses what it has not read itself.
func ResetUnread() Option { return func(p *pipe) { p.resetUnread = true } }

// pipe is what the two ends share.
type pipe struct {
	size        int
	resetUnread bool

	mu   sync.Mutex // guards the rest, the ends included
	wake chan struct{}
}

// A Conn is one end of a Pipe.
//
// All methods may be called concurrently, also Read and Write with themselves.
// Deadlines are recoverable: a Read that times out has lost nothing, a Write
// that times out returns exactly how many bytes were taken. Errors are io.EOF
// or a *net.OpError around os.ErrDeadlineExceeded, net.ErrClosed,
// syscall.ECONNRESET, or syscall.EPIPE.
//
// What tests change about a Conn (Stall, Cut, SetWriteLimit) is about the
// direction in which it writes, except for SetMaxRead and SetReadSeed.
type Conn struct {
	*pipe
	peer *Conn
	addr Addr

	// The direction from this end to the peer.
	buf     []byte // written and not yet read, from off on
	off     int
	written int64
	limit   int64 // how much Write may still take; < 0: no limit
	cut     int64 // where the direction ends, in bytes written; < 0: nowhere
	cutBy   Cut
	stalled bool
	shut    bool  // by CloseWrite
	inVain  bool  // the peer has closed, and this end has written since
	fin     bool  // no more will come
	broken  error // how Read of the peer ends when buf is empty, instead of io.EOF

	// This end.
	closed   bool
	failed   error // of a connection that was reset
	linger   bool  // false: Close resets
	maxRead  int
	rand     *rand.Rand
	rdl, wdl time.Time
}

// Cut is the way in which a direction is cut.
type Cut int

const (
	FIN Cut = iota // Read of the peer ends with io.EOF; later writes are swallowed
	RST            // both ends get ECONNRESET
)

// Pipe returns the two ends of a connection.
func Pipe(opts ...Option) (a, b *Conn) {
	p := &pipe{size: DefaultBuffer}
	for _, opt := range opts {
		opt(p)
	}
	a = &Conn{pipe: p, addr: "a", limit: -1, cut: -1, linger: true}
	b = &Conn{pipe: p, addr: "b", limit: -1, cut: -1, linger: true, peer: a}
	a.peer = b
	return a, b
}

// Read returns what the peer has written, as soon as there is a byte.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.peer
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case isPast(c.rdl):
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case c.failed != nil:
			return 0, c.opError("read", c.failed)
		case in.stalled:
		case len(in.buf) > in.off:
			n := copy(p[:c.readSize(len(p))], in.buf[in.off:])
			in.off += n
			if in.off == len(in.buf) {
				in.buf, in.off = in.buf[:0], 0
			}
			c.changedLocked()
			return n, nil
		case in.broken != nil:
			return 0, c.opError("read", in.broken)
		case in.fin:
			return 0, io.EOF
		}
		c.waitLocked(c.rdl)
	}
}

// readSize returns how much a Read of n bytes is to return at most.
func (c *Conn) readSize(n int) int {
	if c.maxRead > 0 {
		n = min(n, c.maxRead)
	}
	if c.rand != nil {
		n = 1 + c.rand.IntN(n)
	}
	return n
}

// Write returns when p is in the buffer; the peer may see a part of it before.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, c.opError("write", net.ErrClosed)
		case isPast(c.wdl):
			return n, c.opError("write", os.ErrDeadlineExceeded)
		case c.failed != nil:
			return n, c.opError("write", c.failed)
		case c.peer.broken != nil:
			return n, c.opError("write", c.peer.broken)
		case c.shut || c.inVain:
			return n, c.opError("write", syscall.EPIPE)
		case c.peer.closed && n < len(p):
			c.inVain = true
			if c.resetUnread {
				c.failed = syscall.ECONNRESET
			}
			c.changedLocked()
			return len(p), nil
		}
		n += c.takeLocked(p[n:])
		if n == len(p) {
			return n, nil
		}
		if c.failed == nil {
			c.waitLocked(c.wdl)
		}
	}
}

// takeLocked takes as much of p as buffer, limit and cut allow.
func (c *Conn) takeLocked(p []byte) int {
	n := len(p)
	if c.limit >= 0 {
		n = int(min(int64(n), c.limit))
	}
	keep := n // what is not beyond the cut
	if c.cut >= 0 {
		keep = int(min(int64(n), max(c.cut-c.written, 0)))
	}
	if room := c.size - (len(c.buf) - c.off); keep > room {
		n, keep = room, room
	} else if keep < n && c.cutBy == RST {
		n = keep
	}
	if c.off > 0 && keep > cap(c.buf)-len(c.buf) {
		c.buf = append(c.buf[:0], c.buf[c.off:]...)
		c.off = 0
	}
	c.buf = append(c.buf, p[:keep]...)
	c.written += int64(n)
	if c.limit >= 0 {
		c.limit -= int64(n)
	}
	c.cutLocked()
	if n > 0 {
		c.changedLocked()
	}
	return n
}

// cutLocked applies the cut when the direction has come to it.
func (c *Conn) cutLocked() {
	if c.cut < 0 || c.written < c.cut || c.fin {
		return
	}
	c.fin = true
	if c.cutBy == RST {
		c.broken = syscall.ECONNRESET // once the peer has read what was sent before
		c.failed = syscall.ECONNRESET
	}
	c.changedLocked()
}

// CloseWrite ends the direction to the peer, which gets io.EOF when it has
// read everything; Read goes on.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.shut, c.fin = true, true
	c.changedLocked()
	return nil
}

// Close closes this end. The peer reads what was written before and then gets
// io.EOF; its next Write is in vain and those after it fail with EPIPE, as on
// TCP. After SetLinger(0) it is a Reset.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closeLocked(!c.linger || c.resetUnread && len(c.peer.buf) > c.peer.off)
	return nil
}

// Reset closes this end at once: the peer loses what it has not read, and gets
// ECONNRESET from everything.
func (c *Conn) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closeLocked(true)
	}
}

func (c *Conn) closeLocked(reset bool) {
	c.closed, c.fin = true, true
	if reset {
		c.peer.failed = syscall.ECONNRESET
		c.buf, c.off = nil, 0
	}
	c.peer.buf, c.peer.off = nil, 0
	c.changedLocked()
}

// SetLinger(0) makes Close a Reset, as it does on a net.TCPConn.
func (c *Conn) SetLinger(sec int) error {
	return c.set(func() { c.linger = sec != 0 })
}

func (c *Conn) LocalAddr() net.Addr  { return c.addr }
func (c *Conn) RemoteAddr() net.Addr { return c.peer.addr }

func (c *Conn) SetDeadline(t time.Time) error      { return c.set(func() { c.rdl, c.wdl = t, t }) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.set(func() { c.rdl = t }) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.set(func() { c.wdl = t }) }

// set changes c unless it is closed.
func (c *Conn) set(change func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	change()
	c.changedLocked()
	return nil
}

// change changes c, closed or not.
func (c *Conn) change(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changedLocked()
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.addr.Network(), Source: c.addr, Addr: c.peer.addr, Err: err}
}

// waitLocked waits for a change, or until t unless it is zero. It gives up the
// lock while it waits.
func (p *pipe) waitLocked(t time.Time) {
	if p.wake == nil {
		p.wake = make(chan struct{})
	}
	wake := p.wake
	p.mu.Unlock()
	defer p.mu.Lock()
	if t.IsZero() {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

func (p *pipe) changedLocked() {
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
}

func isPast(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }
